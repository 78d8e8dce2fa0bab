"""End a task by hand, under the fence of whoever has claimed it: a runner, a worker, or one that is long gone."""

from collections.abc import Callable

from taskfleet.cli.target import Target
from taskfleet.core.errors import AlreadyEnded, InputError, NotClaimed
from taskfleet.core.settlement import CurrentLease, QueuePolicy, Settlement
from taskfleet.core.task import QueueKey, TaskState, TaskView, is_task_id
from taskfleet.store import Store

Ending = Callable[[QueueKey, QueuePolicy, CurrentLease], Settlement]


async def end_task(
    store: Store, target: Target, queue: str | None, task_id: str, ending: Ending
) -> tuple[QueueKey, TaskView]:
    """Settle the task's current claim; its queue, and the task as it is then.

    Should another claim take its place meanwhile, it is that one that is ended. Errors: NotFound, NotClaimed,
    AlreadyEnded.
    """
    while True:
        key, policy, lease = await claimed(store, target, queue, task_id)
        if (await store.settle(key, [ending(key, policy, lease)]))[0]:
            (view,) = await store.get(key, [task_id])
            return key, view or lease.task


async def claimed(
    store: Store, target: Target, queue: str | None, task_id: str
) -> tuple[QueueKey, QueuePolicy, CurrentLease]:
    """The queue of a task, its policy, and the task's current claim. Errors: NotFound, NotClaimed, AlreadyEnded."""
    for key in target.queues_to_search(queue) if is_task_id(task_id) else ():
        policy, lease = await store.policy(key), await store.current_lease(key, task_id)
        if policy is not None and lease is not None:
            _refuse_unless_claimed(key, lease.task)
            return key, policy, lease
    raise target.not_found(f"task {task_id!r}", queue)


def _refuse_unless_claimed(queue: QueueKey, task: TaskView) -> None:
    if task.state is TaskState.PENDING:
        raise NotClaimed(
            f"task {task.id!r} in {queue} is pending: nobody has claimed it; claim it with "
            f"`taskfleet run --queue {queue}`, or take it away with `taskfleet cancel {task.id}`"
        )
    if task.state.is_final:
        raise AlreadyEnded(f"task {task.id!r} in {queue} has {_ended(task.state)} already; its result stays as it is")


def _ended(state: TaskState) -> str:
    return f"been {state.value}" if state is TaskState.CANCELLED else state.value


def whole_text(field: str, text: str) -> str:
    """The text itself. Raises InputError when it is empty."""
    if not text.strip():
        raise InputError(f"{field}: it is empty; say in a sentence what happened")
    return text
