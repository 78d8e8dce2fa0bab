"""What a task is: its states, its legal moves, and its forms on the way from submission to result."""

import hashlib
import os
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from taskfleet.core.events import Progress

DEFAULT_TENANT = "default"  # of tasks that name none
NO_TIMES_IN_A_SESSION = (
    "session: its tasks run in the order in which they come, and one that waits for its time would hold up the others; "
    "leave out session, or delay and not_before"
)
_TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase  # in the order in which they sort
_PAIRS = tuple(first + second for first in _DIGITS for second in _DIGITS)
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def is_task_id(text: str) -> bool:
    """Whether a task may have this id, and a session this name."""
    return _TASK_ID.fullmatch(text) is not None


def is_tenant(text: str) -> bool:
    """Whether a tenant may have this name."""
    return _TENANT.fullmatch(text) is not None


class TaskState(StrEnum):
    """Where a task is. ``failed`` is the dead-letter set: kept with its last error."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self not in (TaskState.PENDING, TaskState.RUNNING)


class Priority(IntEnum):
    """A lower number is served first; of 20 tasks one is of a lower priority, so that none waits for ever."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3

    @property
    def label(self) -> str:
        return self.name.lower()

    @classmethod
    def parse(cls, label: str) -> "Priority":
        """The priority of a word such as ``high``; KeyError when there is none."""
        return cls[label.upper()]


@dataclass(frozen=True, slots=True)
class QueueKey:
    """A queue's identity, the same in Kubernetes, on a laptop and in the store."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> "QueueKey":
        """The key of ``namespace/name``; ValueError without exactly one slash."""
        namespace, slash, name = text.partition("/")
        if not (namespace and slash and name) or "/" in name:
            raise ValueError(f"{text!r} is not namespace/name")
        return cls(namespace, name)


@dataclass(slots=True)  # not frozen: one is made for each task, and freezing trebles what that costs
class NewTask:
    """A task accepted for submission. ``body`` is its JSON (messages, parameters, metadata), ``model`` its lane.

    It runs no earlier than ``delay`` seconds after the store took it, nor than ``not_before``, and is not begun after
    ``deadline``; these two are seconds since the epoch. It shares with the tasks of other tenants by weight, and runs
    after those of its ``session`` that came before it; such a task has neither delay nor ``not_before``. ``once``: a
    task of its id that is there already stands for it, and is no error. ``events``: what is told of it is kept for
    readers, from its start to its end. ``announced``: who listens for ends hears its result with its end.
    """

    id: str
    model: str
    body: bytes
    priority: Priority = Priority.NORMAL
    delay: float = 0.0
    not_before: float | None = None
    deadline: float | None = None
    tenant: str = DEFAULT_TENANT
    session: str | None = None
    once: bool = False
    events: bool = False
    announced: bool = False


@dataclass(slots=True)  # not frozen: one is made for each task, and freezing trebles what that costs
class LeasedTask:
    """A task in a worker's hands. ``fence`` names this lease: a settle that carries an older one is refused.

    ``attempt`` counts from 1; ``enqueued_at`` and ``claimed_at`` are seconds of the store's clock.
    """

    id: str
    model: str
    body: bytes
    priority: Priority
    fence: int
    attempt: int
    enqueued_at: float
    claimed_at: float
    session: str | None = None
    batch: str | None = None
    tenant: str = DEFAULT_TENANT
    deadline: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """A task that nobody has claimed, with all that a claim would bring; ``attempt`` is the one that it waits for."""

    id: str
    model: str
    body: bytes
    priority: Priority
    attempt: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a call used, as the server counted them (0 where it did not say)."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why a task failed, in words, with a stable code; ``status`` is the server's HTTP status if there was one."""

    code: str
    message: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that did not end its task: a retry, a hand-back (without ``error``: nothing was wrong with it), or the
    loss of its worker. Times are seconds of the store's clock; ``number`` repeats when an attempt was not burnt."""

    number: int
    worker: str | None
    endpoint: str | None
    claimed_at: float
    ended_at: float
    error: TaskError | None


@dataclass(slots=True)  # not frozen: one is made for each task, and freezing trebles what that costs
class TaskView:
    """A task as the store shows it: the base of a result line. Seconds; None where it has not happened.

    ``enqueued_at`` is when it began to wait for a worker: its submission, or the end of its delay. ``not_before`` is
    set while it waits for its time (a delay, or that of a retry). ``history`` has the last 20 attempts that did not end
    it; the one that did is the result itself.
    ``model`` is who answered: a fallback of ``requested_model``, or that itself. ``progress`` is what was last told of
    one that runs.
    """

    id: str
    state: TaskState
    model: str
    priority: Priority
    attempts: int
    enqueued_at: float
    output: str | Mapping[str, Any] | None = None
    error: TaskError | None = None
    endpoint: str | None = None
    worker: str | None = None
    usage: Usage | None = None
    queue_seconds: float | None = None
    run_seconds: float | None = None
    history: tuple[Attempt, ...] = ()
    batch: str | None = None
    tenant: str = DEFAULT_TENANT
    session: str | None = None
    not_before: float | None = None
    deadline: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    requested_model: str = ""
    progress: Progress | None = None


def id_of_key(key: str) -> str:
    """The id of every task that is submitted with this idempotency key."""
    return f"k-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def new_task_id() -> str:
    """A fresh random id: 13 digits to base 62, 77 bits. Short, since the store has the id of a waiting task twice."""
    number, parts = int.from_bytes(os.urandom(11), "big"), []
    for _ in range(6):
        number, rest = divmod(number, len(_PAIRS))
        parts.append(_PAIRS[rest])
    parts.append(_DIGITS[number % len(_DIGITS)])
    return "".join(parts)
