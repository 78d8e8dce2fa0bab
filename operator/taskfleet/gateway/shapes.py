"""Tasks as OpenAI's answers. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson

from taskfleet.core.operation import Operation
from taskfleet.core.task import QueueKey, TaskState, TaskView
from taskfleet.gateway.answers import Refused

# Statuses of a model server that say that the request itself is wrong: they are the caller's to see.
_CALLERS_OWN = frozenset({400, 413, 415, 422})
_OBJECTS: Mapping[Operation | None, str] = {
    None: "chat.completion",
    Operation.CHAT: "chat.completion",
    Operation.COMPLETIONS: "text_completion",
    Operation.EMBEDDINGS: "list",
    Operation.RESPONSES: "response",
}
_OUT_OF_TIME = frozenset({"timeout", "server_timeout", "deadline", "ttl"})


def whole_answer(view: TaskView, operation: Operation | None) -> Mapping[str, Any]:
    """The answer to the request that this completed task was, in OpenAI's form.

    The server's own where it speaks that protocol; made from what was said where it does not, or a person answered.
    """
    output = view.output
    if isinstance(output, Mapping) and ("data" in output or (operation is Operation.RESPONSES and "output" in output)):
        return output
    if operation is Operation.RESPONSES:
        return _response(view)
    head = {"id": view.id, "object": _OBJECTS[operation], "created": round(view.enqueued_at), "model": view.model}
    if isinstance(output, Mapping) and "choices" in output:
        return {**head, **output}
    choice = _text(output) if operation is Operation.COMPLETIONS else _chat(output)
    return {**head, "choices": [choice], "usage": usage_of(view)}


def _response(view: TaskView) -> dict[str, Any]:
    text = view.output if isinstance(view.output, str) else orjson.dumps(view.output).decode()
    usage = usage_of(view)
    said = {"type": "output_text", "text": text, "annotations": []}
    shown = {"id": f"{view.id}-1", "type": "message", "role": "assistant", "status": "completed", "content": [said]}
    return {
        "id": view.id,
        "object": _OBJECTS[Operation.RESPONSES],
        "created_at": round(view.enqueued_at),
        "status": "completed",
        "model": view.model,
        "output": [shown],
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "output_tokens": usage["completion_tokens"],
            "total_tokens": usage["total_tokens"],
        },
    }


def _chat(output: Any) -> dict[str, Any]:
    message = output if isinstance(output, Mapping) else {"content": output}
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    return {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}


def _text(output: Any) -> dict[str, Any]:
    return {"index": 0, "text": output, "finish_reason": "stop", "logprobs": None}


def usage_of(view: TaskView) -> dict[str, int]:
    """Tokens, as OpenAI counts them."""
    given, made = (view.usage.input_tokens, view.usage.output_tokens) if view.usage else (0, 0)
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


def result_headers(queue: QueueKey, view: TaskView) -> dict[str, str]:
    """How a task went, as headers."""
    headers = {
        "Taskfleet-Task": view.id,
        "Taskfleet-Queue": str(queue),
        "Taskfleet-Model": view.model,
        "Taskfleet-Attempts": str(view.attempts),
    }
    if view.endpoint:
        headers["Taskfleet-Endpoint"] = view.endpoint
    if view.requested_model not in ("", view.model):
        headers["Taskfleet-Fallback-From"] = view.requested_model
    for name, seconds in (("Queue", view.queue_seconds), ("Run", view.run_seconds)):
        if seconds is not None:
            headers[f"Taskfleet-{name}-Seconds"] = f"{seconds:.3f}"
    return headers


def not_completed(queue: QueueKey, view: TaskView) -> Refused:
    """The error to answer for a task that ended without a result."""
    error = view.error
    headers = result_headers(queue, view)
    if view.state is TaskState.CANCELLED:
        return Refused(409, "cancelled", f"task {view.id} was cancelled", headers)
    code, message = (error.code, error.message) if error else (view.state.value, f"task {view.id} {view.state.value}")
    if error is not None and error.status in _CALLERS_OWN:
        return Refused(error.status, code, message, headers)
    out_of_time = view.state is TaskState.EXPIRED or code in _OUT_OF_TIME
    if code == "operation_not_offered":
        return Refused(501, code, message, headers)
    if code == "bad_request":  # found before the server was asked
        return Refused(400, code, message, headers)
    return Refused(504 if out_of_time else 502, code, f"{message} (after {view.attempts} attempts)", headers)
