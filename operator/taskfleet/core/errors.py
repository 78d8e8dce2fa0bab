"""The one error tree.

    TaskfleetError
    ├── InputError               what the caller sent is wrong; says the field and the fix
    │   ├── InvalidManifest      a TaskQueue or WorkerPool that the API server would refuse
    │   ├── InvalidTask          a task line that cannot be a task
    │   ├── DuplicateTask        an id that the queue already holds
    │   └── UnknownModel         a model that the queue does not offer
    ├── NotFound                 no such queue, task or batch
    ├── QueueFull                back-pressure: come back later
    ├── QueueClosed              the queue is being deleted and takes no new work
    ├── NotClaimed               a task that nobody has claimed, so that there is nothing to end
    ├── AlreadyEnded             a task that has its result
    ├── StoreError               the store cannot serve us
    │   ├── StoreUnreachable     down, refused, cut, timed out
    │   │   └── GatewayUnreachable   the same of the gateway before it
    │   ├── StoreAuthFailed      the password or user is wrong, or the gateway's API key
    │   ├── NotPermitted         the gateway's API key has not the right for this
    │   ├── StoreOutOfMemory     maxmemory reached
    │   ├── StoreTooOld          a server version we do not support
    │   └── StoreSchemaMismatch  data written by another version of Taskfleet
    ├── AlreadyRunning           a second `up` on one data folder, a queue that is started twice
    ├── NotRunning               no `up` on that data folder, a queue that is not started
    ├── NoModelServer            nobody to call: no server was found, or one that was named does not answer
    ├── WaitTimeout              what was waited for has not ended yet; it goes on
    ├── TakenOver                a run of a parallel queue that somebody else drives by now
    ├── NotLeading               a controller that may act no more, since another one may have begun to
    ├── DatasetError             the rows of a dataset cannot be read, or their results not be written
    └── CheckpointError          the file that a run goes on from cannot be read or written

Each class carries a stable ``code`` for machines and an ``exit_code`` for scripts
(0 is success, 1 is "it ran, and tasks failed", 2 is bad input as in most commands).
"""

from typing import Any


class TaskfleetError(Exception):
    """Root of every error that Taskfleet raises on purpose. ``str(error)`` is a sentence for people."""

    code = "error"
    exit_code = 70


class InputError(TaskfleetError):
    code = "invalid_input"
    exit_code = 2


class InvalidManifest(InputError):
    code = "invalid_manifest"


class InvalidTask(InputError):
    code = "invalid_task"


class DuplicateTask(InputError):
    code = "duplicate_task"

    def __init__(self, task_id: str, message: str = "") -> None:
        super().__init__(message or f"id: a task {task_id!r} is already in this queue; ids must be unique")
        self.task_id = task_id


class UnknownModel(InputError):
    code = "unknown_model"


class NotFound(TaskfleetError):
    code = "not_found"
    exit_code = 4


class QueueFull(TaskfleetError):
    """``retry_after`` is in seconds, a hint and not a promise."""

    code = "queue_full"
    exit_code = 5

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QueueClosed(TaskfleetError):
    code = "queue_closed"
    exit_code = 6


class NotClaimed(TaskfleetError):
    code = "not_claimed"
    exit_code = 7


class AlreadyEnded(TaskfleetError):
    code = "already_ended"
    exit_code = 8


class StoreError(TaskfleetError):
    code = "store_error"
    exit_code = 10


class StoreUnreachable(StoreError):
    code = "store_unreachable"
    exit_code = 11


class GatewayUnreachable(StoreUnreachable):
    code = "gateway_unreachable"
    exit_code = 23


class StoreAuthFailed(StoreError):
    code = "store_auth_failed"
    exit_code = 12


class NotPermitted(StoreError):
    code = "not_permitted"
    exit_code = 24


class StoreOutOfMemory(StoreError):
    code = "store_out_of_memory"
    exit_code = 13


class StoreTooOld(StoreError):
    code = "store_too_old"
    exit_code = 14


class StoreSchemaMismatch(StoreError):
    code = "store_schema_mismatch"
    exit_code = 15


class AlreadyRunning(TaskfleetError):
    code = "already_running"
    exit_code = 16


class NotRunning(TaskfleetError):
    code = "not_running"
    exit_code = 17


class NoModelServer(TaskfleetError):
    code = "no_model_server"
    exit_code = 18


class WaitTimeout(TaskfleetError, TimeoutError):
    code = "wait_timeout"
    exit_code = 19


class DatasetError(TaskfleetError):
    """``results`` are those that came before it, where they were to be returned in a list."""

    code = "dataset_error"
    exit_code = 21
    results: tuple[Any, ...] = ()


class TakenOver(TaskfleetError):
    code = "taken_over"
    exit_code = 27

    def __init__(self, run: str) -> None:
        super().__init__(f"the run {run} is driven by another command by now; run it again to have it back")
        self.run = run


class SetBack(TaskfleetError):
    """What was last written of a run is not there: a store came back, or another took its place, without it."""

    code = "set_back"
    exit_code = 28

    def __init__(self, run: str) -> None:
        super().__init__(f"the store has lost the last changes of the run {run}; it goes on from those that there are")


class NotLeading(TaskfleetError):
    """It ends what a controller was about to do, and never a process: the controller stands by."""

    code = "not_leading"


class CheckpointError(TaskfleetError):
    code = "checkpoint_error"
    exit_code = 22
