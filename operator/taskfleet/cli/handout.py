"""A task as it is handed to whoever executes it: in a fixed form for people and programs, or as JSON.

The form: lines ``Name: value`` in the order of ``taskfleet run --help``, those without a value left out; then the
messages, each under the line ``Prompt:`` (of the user) or that of another role, every line of them behind two spaces;
then an empty line. So nothing that a task says can look like a line of the form.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from taskfleet.api.taskbody import TaskBody, decode_body
from taskfleet.core.task import LeasedTask, QueueKey, WaitingTask
from taskfleet.core.wiretime import wire_time

_INDENT = "  "
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINE_ENDS = re.compile(r"[\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Handout:
    """One task. ``worker`` has claimed it ``until`` (seconds since the epoch); both None when nobody has."""

    queue: QueueKey
    task: LeasedTask | WaitingTask
    body: TaskBody
    worker: str | None = None
    until: float | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """As JSON types; ``arguments`` of a tool's call, ``prompt`` when it is one message of the user, else
        ``messages``, as on a task line."""
        task, body = self.task, self.body
        return {
            "id": task.id,
            "queue": str(self.queue),
            "tool": body.tool,
            "model": task.model,
            "priority": task.priority.label,
            "attempt": task.attempt,
            "worker": self.worker,
            "until": None if self.until is None else wire_time(self.until),
            **_asked(body),
            "parameters": body.parameters,
            "metadata": body.metadata,
        }

    @property
    def text(self) -> str:
        """The fixed form, with the empty line at its end."""
        fields, body = self.fields, self.body
        lines = [
            f"{name}: {value if isinstance(value, str | int) else _one_line(value)}"
            for name, value in (
                ("Task", fields["id"]),
                ("Queue", fields["queue"]),
                ("Tool", fields["tool"]),
                ("Model", fields["model"]),
                ("Priority", fields["priority"]),
                ("Attempt", fields["attempt"]),
                ("Worker", fields["worker"]),
                ("Until", fields["until"]),
                ("Arguments", body.arguments),
                ("Parameters", fields["parameters"]),
                ("Metadata", fields["metadata"]),
            )
            if value
        ]
        for message in body.messages:
            role = message["role"]
            lines.append("Prompt:" if role == "user" else f"{role.capitalize()}:")
            lines += [_INDENT + harmless(line) for line in _said(message).splitlines() or [""]]
        return "\n".join((*lines, "", ""))


def handout(queue: QueueKey, task: LeasedTask | WaitingTask, **claim: Any) -> Handout:
    """Errors: InvalidTask, when the task's body is not one that Taskfleet wrote."""
    return Handout(queue, task, decode_body(task.body), **claim)


def _asked(body: TaskBody) -> dict[str, Any]:
    match body:
        case TaskBody(arguments=dict(arguments)):
            return {"arguments": arguments}
        case TaskBody(messages=[{"role": "user", "content": str(prompt)}]):
            return {"prompt": prompt}
    return {"messages": body.messages}


def _said(message: Mapping[str, Any]) -> str:
    """The text of a message; what is more than text is JSON."""
    content = message.get("content")
    if isinstance(content, str) and message.keys() <= {"role", "content"}:
        return content
    return orjson.dumps({name: value for name, value in message.items() if name != "role"}).decode()


def _one_line(value: Any) -> str:
    """JSON without what some programs take for the end of a line."""
    return _LINE_ENDS.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(value).decode())


def harmless(line: str) -> str:
    """Without control characters, which could write over what a terminal shows."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", line)
