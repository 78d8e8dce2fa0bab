"""What a caller reads: tasks, answers and errors, each as attributes and as a mapping."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from taskfleet.core.task import Priority, TaskError, TaskState, TaskView, Usage

ASKED_MODEL = "taskfleet.model"
"""Metadata of a task whose handler serves any model: the one that was asked for."""


class Readable(Mapping[str, Any]):
    """Attributes that are keys as well; ``FIELDS`` names them."""

    __slots__ = ()
    FIELDS: ClassVar[tuple[str, ...]] = ()

    def __getitem__(self, key: str) -> Any:
        if key in self.FIELDS:
            return getattr(self, key)
        raise KeyError(f"{key!r}; there are {', '.join(self.FIELDS)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.FIELDS)

    def __len__(self) -> int:
        return len(self.FIELDS)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={self[name]!r}' for name in self.FIELDS)})"


class Error(Readable):
    """Why a task failed: ``message`` in words (also ``str(error)``), a stable ``code``, the server's ``status``."""

    __slots__ = ("code", "message", "status")
    FIELDS = ("code", "message", "status")

    def __init__(self, error: TaskError) -> None:
        self.code = error.code
        self.message = error.message
        self.status = error.status

    def __str__(self) -> str:
        return self.message


class Answer(Readable):
    """What a task came to.

    ``response`` is the text, or the whole message when it is more than text, or what a handler returned. ``usage``
    counts tokens: ``{"input_tokens", "output_tokens"}``.
    """

    __slots__ = ("endpoint", "model", "response", "usage")
    FIELDS = ("response", "usage", "model", "endpoint")

    def __init__(self, response: Any, usage: Usage | None, model: str, endpoint: str | None) -> None:
        self.response = response
        self.usage = usage and {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        self.model = model
        self.endpoint = endpoint


class TaskResult(Readable):
    """A task as it was when it was looked at. Times are seconds, None where it has not happened.

    ``status`` is ``pending``, ``running``, ``completed``, ``failed``, ``cancelled`` or ``expired``. ``result`` is set
    when it completed, ``error`` when it failed or expired, or is to be tried again. ``duration`` is the time of the
    last attempt. ``model`` is who answered: a fallback of ``requested_model``, or that itself. ``progress``: what a
    running one last reported, ``{"fraction", "message"}``, None when nothing.
    """

    __slots__ = ("_view",)
    FIELDS = (
        "id", "status", "result", "error", "duration", "queue_seconds", "attempts", "model", "requested_model",
        "priority", "worker", "batch", "metadata", "progress",
    )  # fmt: skip

    def __init__(self, view: TaskView) -> None:
        self._view = view

    @property
    def view(self) -> TaskView:
        return self._view

    @property
    def id(self) -> str:
        return self._view.id

    @property
    def status(self) -> TaskState:
        return self._view.state

    @property
    def result(self) -> Answer | None:
        view = self._view
        if view.state is not TaskState.COMPLETED:
            return None
        return Answer(view.output, view.usage, self.model, view.endpoint)

    @property
    def response(self) -> Any:
        """``result["response"]``, None when it has not completed."""
        return self._view.output

    @property
    def error(self) -> Error | None:
        return Error(self._view.error) if self._view.error else None

    @property
    def duration(self) -> float | None:
        return self._view.run_seconds

    @property
    def queue_seconds(self) -> float | None:
        return self._view.queue_seconds

    @property
    def attempts(self) -> int:
        return self._view.attempts

    @property
    def model(self) -> str:
        return self._view.metadata.get(ASKED_MODEL) or self._view.model

    @property
    def requested_model(self) -> str:
        return self._view.metadata.get(ASKED_MODEL) or self._view.requested_model or self._view.model

    @property
    def priority(self) -> Priority:
        return self._view.priority

    @property
    def worker(self) -> str | None:
        return self._view.worker

    @property
    def batch(self) -> str | None:
        return self._view.batch

    @property
    def progress(self) -> Mapping[str, Any] | None:
        told = self._view.progress
        return {"fraction": told.fraction, "message": told.message} if told else None

    @property
    def metadata(self) -> Mapping[str, Any]:
        return {key: value for key, value in self._view.metadata.items() if key != ASKED_MODEL}


class TaskBatch(list[str]):
    """The ids of tasks that were submitted together, in order; ``id`` names them as one."""

    def __init__(self, ids: list[str], batch: str) -> None:
        super().__init__(ids)
        self.id = batch


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Failure(Readable):
    """One failed task: its id, why, when (with zone), and the worker that had it last."""

    task: str
    error: Error
    time: datetime
    worker: str | None

    FIELDS = ("task", "error", "time", "worker")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Progress(Readable):
    """News of one task, with the counts of all that this queue object has submitted.

    ``fraction`` (0 to 1) and ``message`` are what was reported of it, 0 where only a message was; 1 for a task that
    ended.
    """

    task: str
    status: TaskState
    fraction: float
    message: str
    submitted: int
    completed: int
    failed: int
    cancelled: int

    FIELDS = ("task", "status", "fraction", "message", "submitted", "completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Stats(Readable):
    """A queue in numbers.

    The counts of states are the whole queue's. ``avg_time`` (seconds of one attempt), ``success_rate`` (completed of
    those that completed or failed, 0 to 1), ``throughput`` (tasks a second from the first submission to the last end),
    ``tokens``, ``models`` and ``endpoints`` are of the tasks that this queue object submitted and saw end; the first
    three are 0 before one did.
    """

    submitted: int
    pending: int
    running: int
    completed: int
    failed: int
    cancelled: int
    expired: int
    avg_time: float
    success_rate: float
    throughput: float
    tokens: Mapping[str, int]
    models: Mapping[str, Mapping[str, Any]]
    endpoints: Mapping[str, Mapping[str, Any]]

    FIELDS = (
        "submitted", "pending", "running", "completed", "failed", "cancelled", "expired", "avg_time", "success_rate",
        "throughput", "tokens", "models", "endpoints",
    )  # fmt: skip
