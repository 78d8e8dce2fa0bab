"""Task lines and result lines: the JSONL that people write and read.

A task line is ``{"id"? | "idempotency_key"?, "model"?, "prompt" | "messages", "priority"?, "tenant"?, "session"?,
"tool"?, "stream"?, "operation"?, "parameters"?, "metadata"?, "delay"? | "not_before"?, "deadline"?}`` and nothing
else. One with ``"arguments"`` is the call of a tool: it has ``"tool"``, and none of ``MODEL_FIELDS``.
A result line is what ``result_line`` returns.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from taskfleet.api import taskfields
from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.api.tasktimes import task_times
from taskfleet.api.toolcalls import ARGUMENTS, parse_arguments
from taskfleet.core.errors import DuplicateTask, InputError, InvalidTask, UnknownModel
from taskfleet.core.models import resolve_model
from taskfleet.core.operation import Operation
from taskfleet.core.task import (
    DEFAULT_TENANT,
    NO_TIMES_IN_A_SESSION,
    NewTask,
    Priority,
    TaskView,
    id_of_key,
    is_task_id,
    is_tenant,
)

FIELDS = (
    *("id", "idempotency_key", "model", "prompt", "messages", "priority", "tenant", "session", "tool", "stream"),
    *("operation", "arguments"),
    *("parameters", "metadata", "delay", "not_before", "deadline"),
)
_FIELD_SET = frozenset(FIELDS)
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


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


def read_task_lines(lines: Iterable[bytes], *, spec: TaskQueueSpec) -> Iterator[NewTask]:
    """The tasks of a file, one for each line that is not blank, in memory for one line (and the ids given).

    Raises InvalidTask, UnknownModel or DuplicateTask with the number of the line at the first that is wrong, and
    InvalidTask when there is none at all.
    """
    reader = TaskReader(spec)
    line_of_id: dict[str, int] = {}
    number = 0
    for number, raw in enumerate(lines, start=1):
        line = _without_bom(raw) if number == 1 else raw
        if line.isspace() or not line:
            continue
        task, named = reader.task(line, number)
        if named and line_of_id.setdefault(task.id, number) != number:
            first = line_of_id[task.id]
            raise DuplicateTask(
                task.id, f"line {number}: id: {task.id!r} is already on line {first}; ids must be unique"
            )
        reader.count += 1
        yield task
    if not reader.count:
        what = "it has only blank lines" if number else "it is empty"
        raise InvalidTask(f"there are no tasks in this file: {what}; write one JSON object on each line")


def line_of_id(lines: Iterable[bytes], task_id: str) -> int | None:
    """The number of the line that gives this id, of lines that ``read_task_lines`` takes; None when none does."""
    written = task_id.encode()
    for number, line in enumerate(lines, start=1):
        if written in line and orjson.loads(_without_bom(line)).get("id") == task_id:
            return number
    return None


def parse_task_line(line: bytes, *, spec: TaskQueueSpec, number: int) -> NewTask:
    """The task of one line. Raises InvalidTask or UnknownModel: ``line 7: priority: ...``."""
    return TaskReader(spec).task(line, number)[0]


def task_from_prompt(
    prompt: str | None,
    *,
    spec: TaskQueueSpec,
    model: str | None = None,
    priority: str = Priority.NORMAL.label,
    tenant: str | None = None,
    session: str | None = None,
    task_id: str | None = None,
    idempotency_key: str | None = None,
    tool: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    delay: str | None = None,
    deadline: str | None = None,
) -> NewTask:
    """The task of one prompt, or of a tool's call. Raises InvalidTask or UnknownModel: ``prompt: ...``."""
    fields: dict[str, Any] = {
        "id": task_id,
        "idempotency_key": idempotency_key,
        "model": model,
        "prompt": prompt,
        "priority": priority,
        "tenant": tenant,
        "session": session,
        **({} if tool is None else {"tool": tool}),
        "arguments": arguments,
        "parameters": parameters,
        "metadata": metadata,
        "delay": delay,
        "deadline": deadline,
    }
    return TaskReader(spec).build(fields)


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


class TaskReader:
    """Turns lines into tasks under one queue's rules, looked up once."""

    def __init__(self, spec: TaskQueueSpec) -> None:
        self.count = 0
        self.models = tuple(model.name for model in spec.models)
        self._offered = spec.offered
        self._lanes: dict[str | None, str] = {}
        self._default = spec.default_lane
        self._max_bytes = spec.limits.max_task_bytes.bytes
        self._max_text = str(spec.limits.max_task_bytes)

    def task(self, line: bytes, number: int) -> tuple[NewTask, bool]:
        """The task of a line, and whether the line gave its id. Errors begin with the number of the line."""
        try:
            fields = _json_object(line)
            return self.build(fields), fields.get("id") is not None
        except UnknownModel as error:
            raise UnknownModel(f"line {number}: {error}") from None
        except InputError as error:
            raise InvalidTask(f"line {number}: {error}") from None

    def build(self, fields: dict[str, Any]) -> NewTask:
        """The task of these fields, plain JSON values. Raises InvalidTask or UnknownModel: ``priority: ...``."""
        if not fields.keys() <= _FIELD_SET:
            unknown = next(name for name in fields if name not in _FIELD_SET)
            raise InvalidTask(f"{unknown}: unknown field; a task has only {', '.join(FIELDS)}")
        if None in fields.values():  # null means not given: tables exported as JSON are full of it
            fields = {name: value for name, value in fields.items() if value is not None}
        stream = taskfields.stream(fields)
        body = _body(fields, stream)
        if len(body) > self._max_bytes:
            raise InvalidTask(
                f"the task is {len(body)} bytes as JSON and the queue takes at most {self._max_bytes} "
                f"(limits.maxTaskBytes: {self._max_text}); shorten it or raise that limit"
            )
        times, session = task_times(fields), taskfields.name(fields, "session", is_task_id, 128)
        if session is not None and (times.delay or times.not_before):
            raise InvalidTask(NO_TIMES_IN_A_SESSION)
        key = taskfields.idempotency_key(fields)
        return NewTask(
            *(
                taskfields.identity(fields) if key is None else id_of_key(key),
                self._model(fields),
                body,
                taskfields.priority(fields),
            ),
            *(times.delay, times.not_before, times.deadline),
            tenant=taskfields.name(fields, "tenant", is_tenant, 63) or DEFAULT_TENANT,
            session=session,
            once=key is not None,
            events=bool(stream),
        )

    def _model(self, fields: Mapping[str, Any]) -> str:
        if "arguments" in fields:
            return self._tool(fields)
        model = fields.get("model")
        if not isinstance(model, str | None):
            raise InvalidTask(f"model: {taskfields.shown(model)} is not a string; leave it out for the queue's default")
        if model not in self._lanes:
            self._lanes[model] = resolve_model(model, self._offered, self._default)
        return self._lanes[model]

    def _tool(self, fields: Mapping[str, Any]) -> str:
        """The lane of a tool's call: the model of its name. The arguments are checked where we know the tool."""
        tool = fields["tool"]
        lane = next((model.name for model in self._offered if tool == model.name or tool in model.aliases), None)
        if lane is None:
            raise UnknownModel(
                f"tool: {tool!r} is not offered by this queue, which has the models {', '.join(self.models)}; "
                "add it to the queue's models"
            )
        if lane in ARGUMENTS:
            parse_arguments(ARGUMENTS[lane], fields["arguments"])
        return lane


def _body(fields: Mapping[str, Any], stream: dict[str, Any]) -> bytes:
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


def _json_object(line: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        _check_utf8(line)
        raise InvalidTask(f"not JSON: {error.msg} at column {error.colno}{_hint(line)}") from None
    if not isinstance(fields, dict):
        kind = "an array" if isinstance(fields, list) else "a plain value"
        raise InvalidTask(f'a task is a JSON object such as {{"prompt": "Say hello"}}, this line is {kind}')
    return fields


def _check_utf8(line: bytes) -> None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise InvalidTask(
            f"not UTF-8: byte {error.start + 1} of the line is 0x{line[error.start]:02x}; save the file as UTF-8"
        ) from None


def _hint(line: bytes) -> str:
    stripped = line.strip()
    if b"NaN" in stripped or b"Infinity" in stripped:
        return "; NaN and Infinity are not JSON, write null or a number"
    if stripped in (b"[", b"{") or stripped.endswith(b"},"):
        return "; each task must be on one line of its own, without commas between (JSONL)"
    return ""


def _without_bom(line: bytes) -> bytes:
    if line.startswith(_UTF16_BOMS):
        raise InvalidTask("line 1: the file is UTF-16; save it as UTF-8")
    return line.removeprefix(_UTF8_BOM)
