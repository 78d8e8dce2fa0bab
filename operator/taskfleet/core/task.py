"""What a task is: its states, its legal moves, and its forms on the way from submission to result."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

TASK_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"


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


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task accepted for submission. ``body`` is its JSON (messages, parameters, metadata), ``model`` its lane.

    It runs no earlier than ``delay`` seconds after the store took it, nor than ``not_before``, and is not begun after
    ``deadline``; these two are seconds since the epoch.
    """

    id: str
    model: str
    body: bytes
    priority: Priority = Priority.NORMAL
    delay: float = 0.0
    not_before: float | None = None
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
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
class TaskView:
    """A task as the store shows it: the base of a result line. Seconds; None where it has not happened.

    ``enqueued_at`` is when it began to wait for a worker: its submission, or the end of its delay. ``not_before`` is
    set while it waits for its time (a delay, or that of a retry). ``model`` is who answered: a fallback of
    ``requested_model``, or that itself.
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
    batch: str | None = None
    not_before: float | None = None
    deadline: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    requested_model: str = ""


def new_task_id() -> str:
    """A fresh id that sorts by time: 11 hex digits of milliseconds, 12 random ones."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(6)}"
