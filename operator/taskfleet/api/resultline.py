"""A result line: how a task and its result are shown wherever they are JSON."""

from typing import Any

from taskfleet.core.task import TaskView


def result_line(view: TaskView) -> dict[str, Any]:
    """A task and its result as plain data. Seconds; null where it has not happened."""
    error, usage = view.error, view.usage
    return {
        "id": view.id,
        "status": view.state.value,
        "output": view.output,
        "error": error and {"code": error.code, "message": error.message, "status": error.status},
        "attempts": view.attempts,
        "model": view.model,
        "requested_model": view.requested_model or view.model,
        "endpoint": view.endpoint,
        "usage": usage and {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
        "queue_seconds": view.queue_seconds,
        "run_seconds": view.run_seconds,
        "metadata": dict(view.metadata),
    }
