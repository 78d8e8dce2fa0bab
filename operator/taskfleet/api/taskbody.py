"""What is stored of a task for whoever executes it: written from its fields, and read again by workers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from taskfleet.api import taskfields
from taskfleet.core.errors import InvalidTask
from taskfleet.core.operation import Operation


@dataclass(frozen=True, slots=True)
class TaskBody:
    """What a worker needs of a task: the arguments of its call. ``metadata`` only comes back with the result.

    ``arguments``: those of a call of ``tool``, which has no messages. Without them ``tool`` is a hint for an agent that
    executes the task; a model server is not told. ``stream``: its answer is told to readers piece by piece.
    ``operation``: see there.
    """

    messages: list[dict[str, Any]]
    parameters: dict[str, Any]
    metadata: dict[str, Any]
    tool: str | None = None
    stream: bool = False
    operation: Operation | None = None
    arguments: dict[str, Any] | None = None


def task_body(fields: Mapping[str, Any], stream: dict[str, Any]) -> bytes:
    """What is stored of a task's fields. Raises InvalidTask."""
    operation = taskfields.operation(fields)
    body = taskfields.tool(fields) | stream | ({} if operation is None else {"operation": operation.value})
    body |= taskfields.arguments(fields)
    body["messages"] = [] if "arguments" in fields else taskfields.messages(fields, operation)
    body["parameters"] = taskfields.parameters(fields, operation)
    body["metadata"] = taskfields.json_object(fields, "metadata")
    try:
        return orjson.dumps(body)
    except TypeError as error:  # it reads deeper JSON than it writes
        raise InvalidTask(f"the task cannot be written as JSON again ({error}); nest its values less deep") from None


def decode_body(body: bytes) -> TaskBody:
    """The body of a stored task. Raises InvalidTask when it is not one of ours."""
    try:
        fields = orjson.loads(body)
        operation = fields.get("operation")
        return TaskBody(
            fields["messages"],
            fields.get("parameters", {}),
            fields.get("metadata", {}),
            fields.get("tool"),
            fields.get("stream", False),
            None if operation is None else Operation(operation),
            fields.get("arguments"),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidTask(f"the task's body is not one that Taskfleet wrote: {error}") from error
