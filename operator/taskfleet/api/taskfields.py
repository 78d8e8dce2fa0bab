"""The fields of a task line, each read and checked by itself. All raise InvalidTask: ``priority: ...``."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from taskfleet.api.messages import check_messages
from taskfleet.core.errors import InvalidTask
from taskfleet.core.operation import Operation
from taskfleet.core.task import Priority, is_task_id, new_task_id

_OPERATIONS = {operation.value: operation for operation in Operation}
# The parameter that holds what is asked, where that is no conversation.
_ASKED_IN: Mapping[Operation | None, str] = {
    Operation.COMPLETIONS: "prompt",
    Operation.EMBEDDINGS: "input",
    Operation.RESPONSES: "input",
}
_PRIORITIES = {priority.label: priority for priority in Priority}
# These belong to the call itself: the queue chooses the model, the worker waits for the whole answer.
_NOT_PARAMETERS = {"model": "give it as the field model", "messages": "give them as the field messages"}
# What only a model can do something with.
MODEL_FIELDS = ("prompt", "messages", "model", "operation", "stream", "parameters")
MAX_KEY = 255
_TOOL = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,254}[^\s\x00-\x1f\x7f-\x9f])?")


def operation(fields: Mapping[str, Any]) -> Operation | None:
    """Which call of OpenAI's protocol the task is, or None."""
    word = fields.get("operation")
    if word is None:
        return None
    if not isinstance(word, str) or word not in _OPERATIONS:
        raise InvalidTask(f"operation: {shown(word)} is none of {', '.join(_OPERATIONS)}")
    return _OPERATIONS[word]


def messages(fields: Mapping[str, Any], operation: Operation | None) -> list[dict[str, Any]]:
    """What the task asks, whether as ``messages`` or as a ``prompt``; nothing where it is among the parameters."""
    if operation in _ASKED_IN:
        for name in ("prompt", "messages"):
            if name in fields:
                raise InvalidTask(f"{name}: with this operation it belongs into parameters.{_ASKED_IN[operation]}")
        return []
    if ("prompt" in fields) == ("messages" in fields):
        both = "prompt" in fields
        trouble = "both prompt and messages are given" if both else "neither prompt nor messages is given"
        raise InvalidTask(f"prompt: {trouble}; give one of the two")
    if "messages" in fields:
        return check_messages(fields["messages"])
    prompt = fields["prompt"]
    if not isinstance(prompt, str):
        raise InvalidTask(f"prompt: {shown(prompt)} is not a string")
    if not prompt or prompt.isspace():
        raise InvalidTask("prompt: it is empty; write what the model shall answer")
    return [{"role": "user", "content": prompt}]


def parameters(fields: Mapping[str, Any], operation: Operation | None) -> dict[str, Any]:
    """What goes to the server beside the messages."""
    found = json_object(fields, "parameters")
    needed = _ASKED_IN.get(operation)
    if needed is not None and not isinstance(found.get(needed), str | list):
        raise InvalidTask(f"parameters.{needed}: it must be given, as a string or an array")
    for name, advice in _NOT_PARAMETERS.items():
        if name in found:
            raise InvalidTask(f"parameters.{name}: not a parameter; {advice}")
    if "stream" in found:
        raise InvalidTask("parameters.stream: not a parameter; give it as the field stream")
    return found


def stream(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the task asks for its answer piece by piece, as a part of the body like ``tool``."""
    wanted = fields.get("stream", False)
    if not isinstance(wanted, bool):
        raise InvalidTask(f"stream: {shown(wanted)} is neither true nor false")
    return {"stream": True} if wanted else {}


def tool(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The hint as a part of the body; most tasks have none, and their bodies stay short."""
    if "tool" not in fields:
        return {}
    hint = fields["tool"]
    if not isinstance(hint, str) or not _TOOL.fullmatch(hint):
        raise InvalidTask(f"tool: {shown(hint)} is not a hint: one line of 1 to 256 characters, such as editor")
    return {"tool": hint}


def arguments(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a tool's call as a part of the body; nothing where the task is none."""
    if "arguments" not in fields:
        return {}
    if "tool" not in fields:
        raise InvalidTask("tool: it is missing; arguments are those of a tool, name it")
    for name in MODEL_FIELDS:
        if fields.get(name):
            raise InvalidTask(f"{name}: a task with arguments calls a tool and no model; remove {name} or arguments")
    return {"arguments": json_object(fields, "arguments")}


def json_object(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A field that is an object; an empty one when it is not given."""
    value = fields.get(name, {})
    if not isinstance(value, dict):
        raise InvalidTask(f"{name}: {shown(value)} is not an object")
    return value


def priority(fields: Mapping[str, Any]) -> Priority:
    """Its priority, NORMAL when it names none."""
    word = fields.get("priority", Priority.NORMAL.label)
    if not isinstance(word, str) or word not in _PRIORITIES:
        raise InvalidTask(f"priority: {shown(word)} is none of {', '.join(_PRIORITIES)}")
    return _PRIORITIES[word]


def identity(fields: Mapping[str, Any]) -> str:
    """Its id, or a new one."""
    if "id" not in fields:
        return new_task_id()
    task_id = fields["id"]
    if not isinstance(task_id, str) or not is_task_id(task_id):
        raise InvalidTask(
            f"id: {shown(task_id)} is not an id: a string of 1 to 128 letters, digits and . _ : - that begins with a "
            "letter or digit"
        )
    return task_id


def idempotency_key(fields: Mapping[str, Any]) -> str | None:
    """Its idempotency key, or None."""
    key = fields.get("idempotency_key")
    if key is None:
        return None
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY:
        raise InvalidTask(f"idempotency_key: {shown(key)} is not a key: a string of 1 to {MAX_KEY} characters")
    if "id" in fields:
        raise InvalidTask(
            "idempotency_key: both id and idempotency_key are given; the key makes the id, give one of them"
        )
    return key


def name(fields: Mapping[str, Any], field: str, is_name: Callable[[str], bool], most: int) -> str | None:
    """The name of a tenant or session, or None."""
    word = fields.get(field)
    if word is None:
        return None
    if not isinstance(word, str) or not is_name(word):
        raise InvalidTask(
            f"{field}: {shown(word)} is not a name: 1 to {most} letters, digits and . _ -, beginning "
            "with a letter or digit"
        )
    return word


def shown(value: Any) -> str:
    """A value as its writer knows it, cut where it is long."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
