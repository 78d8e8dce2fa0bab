"""A task of the fields that people write, in JSONL, in a request or as options of a command.

They are ``{"id"? | "idempotency_key"?, "model"?, "prompt" | "messages", "priority"?, "tenant"?, "session"?, "tool"?,
"stream"?, "operation"?, "parameters"?, "metadata"?, "delay"? | "not_before"?, "deadline"?}`` and nothing else. Those
with ``"arguments"`` are the call of a tool: they have ``"tool"``, and none of ``MODEL_FIELDS``.
"""

from collections.abc import Mapping
from typing import Any

from taskfleet.api import taskfields
from taskfleet.api.taskbody import task_body
from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.api.tasktimes import task_times
from taskfleet.api.toolcalls import ARGUMENTS, parse_arguments
from taskfleet.core.errors import InvalidTask, UnknownModel
from taskfleet.core.models import resolve_model
from taskfleet.core.task import (
    DEFAULT_TENANT,
    NO_TIMES_IN_A_SESSION,
    NewTask,
    Priority,
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


class TaskReader:
    """Makes tasks of fields under one queue's rules, looked up once."""

    def __init__(self, spec: TaskQueueSpec) -> None:
        self.models = tuple(model.name for model in spec.models)
        self._offered = spec.offered
        self._lanes: dict[str | None, str] = {}
        self._default = spec.default_lane
        self._max_bytes = spec.limits.max_task_bytes.bytes
        self._max_text = str(spec.limits.max_task_bytes)

    def build(self, fields: dict[str, Any]) -> NewTask:
        """The task of these fields, plain JSON values. Raises InvalidTask or UnknownModel: ``priority: ...``."""
        if not fields.keys() <= _FIELD_SET:
            unknown = next(name for name in fields if name not in _FIELD_SET)
            raise InvalidTask(f"{unknown}: unknown field; a task has only {', '.join(FIELDS)}")
        if None in fields.values():  # null means not given: tables exported as JSON are full of it
            fields = {name: value for name, value in fields.items() if value is not None}
        stream = taskfields.stream(fields)
        body = task_body(fields, stream)
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
