"""Tasks as the gateway's API shows them, and as its clients read them: both ways in one place."""

from collections.abc import Mapping
from typing import Any

from taskfleet.api.resultline import result_line
from taskfleet.core.events import Progress
from taskfleet.core.task import Attempt, Priority, QueueKey, TaskError, TaskState, TaskView, Usage
from taskfleet.core.wiretime import moment_of, wire_time


def task_object(queue: QueueKey, view: TaskView) -> dict[str, Any]:
    """A task as ``/v1/tasks`` shows it: a result line, where it is, and how it came there."""
    told = view.progress
    return {
        "object": "task",
        **result_line(view),
        "queue": str(queue),
        "priority": view.priority.label,
        "tenant": view.tenant,
        "session": view.session,
        "batch": view.batch,
        "worker": view.worker,
        "enqueued_at": wire_time(view.enqueued_at),
        "not_before": _time(view.not_before),
        "deadline": _time(view.deadline),
        "progress": told and {"fraction": told.fraction, "message": told.message},
        "history": [_attempt(attempt) for attempt in view.history],
    }


def task_view(shown: Mapping[str, Any]) -> TaskView:
    """The task that ``task_object`` showed; its times are to the second. KeyError, TypeError or ValueError when it is
    none."""
    told, usage = shown["progress"], shown["usage"]
    return TaskView(
        id=shown["id"],
        state=TaskState(shown["status"]),
        model=shown["model"],
        priority=Priority.parse(shown["priority"]),
        attempts=shown["attempts"],
        enqueued_at=moment_of(shown["enqueued_at"]),
        output=shown["output"],
        error=_error_of(shown["error"]),
        endpoint=shown["endpoint"],
        worker=shown["worker"],
        usage=usage and Usage(usage["input_tokens"], usage["output_tokens"]),
        queue_seconds=shown["queue_seconds"],
        run_seconds=shown["run_seconds"],
        history=tuple(_attempt_of(attempt) for attempt in shown["history"]),
        batch=shown["batch"],
        tenant=shown["tenant"],
        session=shown["session"],
        not_before=_moment(shown["not_before"]),
        deadline=_moment(shown["deadline"]),
        metadata=shown["metadata"],
        requested_model=shown["requested_model"],
        progress=told and Progress(told["fraction"], told["message"]),
    )


def _attempt(attempt: Attempt) -> dict[str, Any]:
    error = attempt.error
    return {
        "number": attempt.number,
        "worker": attempt.worker,
        "endpoint": attempt.endpoint,
        "claimed_at": wire_time(attempt.claimed_at),
        "ended_at": wire_time(attempt.ended_at),
        "error": error and {"code": error.code, "message": error.message, "status": error.status},
    }


def _attempt_of(shown: Mapping[str, Any]) -> Attempt:
    return Attempt(
        shown["number"],
        shown["worker"],
        shown["endpoint"],
        moment_of(shown["claimed_at"]),
        moment_of(shown["ended_at"]),
        _error_of(shown["error"]),
    )


def _error_of(shown: Mapping[str, Any] | None) -> TaskError | None:
    return shown and TaskError(shown["code"], shown["message"], shown["status"])  # type: ignore[return-value]


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else wire_time(seconds)


def _moment(text: str | None) -> float | None:
    return None if text is None else moment_of(text)
