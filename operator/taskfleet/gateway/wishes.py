"""What a request says beside OpenAI's own fields: in headers, or in the body as ``taskfleet`` (``extra_body``)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskfleet.api import taskfields
from taskfleet.core.errors import InputError
from taskfleet.core.task import Priority
from taskfleet.gateway.bodies import known_fields
from taskfleet.gateway.callers import Caller

MAX_WAIT_SECONDS = 3600.0
HEADERS = {
    "queue": "Taskfleet-Queue",
    "priority": "Taskfleet-Priority",
    "tenant": "Taskfleet-Tenant",
    "session": "Taskfleet-Session",
    "deadline": "Taskfleet-Deadline",
    "idempotency_key": "Idempotency-Key",
}
_FLAGS = ("detach", "restarts")
_IN_BODY = (*HEADERS, "metadata", *_FLAGS)
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?:$|[,;])", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Wishes:
    """None where nothing was said. ``task``: fields of a task line. ``wait``: the longest wait for an answer, in
    seconds. ``detach``: the task goes on when the client goes away. ``restarts``: see ``chunks.Wanted``."""

    queue: str | None = None
    priority: Priority | None = None
    tenant: str | None = None
    wait: float | None = None
    detach: bool = False
    restarts: bool = False
    task: Mapping[str, Any] = field(default_factory=dict)


def read_wishes(headers: Mapping[str, str], body: dict[str, Any]) -> Wishes:
    """The wishes of a request; takes ``taskfleet`` out of its body. Raises InputError: ``taskfleet.priority: ...``."""
    inside = body.pop("taskfleet", None)
    if inside is None:
        inside = {}
    if not isinstance(inside, dict):
        raise InputError("taskfleet: it must be an object")
    known_fields(inside, "taskfleet.", _IN_BODY)
    found = {name: headers[header] for name, header in HEADERS.items() if header.lower() in headers}
    found |= {name: value for name, value in inside.items() if value is not None}
    for name in ("queue", "tenant"):
        if not isinstance(found.get(name, ""), str):
            raise InputError(f"taskfleet.{name}: it must be a string")
    word = found.pop("priority", None)
    priority = None if word is None else taskfields.priority({"priority": word})
    detach, restarts = (_flag(found, name) for name in _FLAGS)
    return Wishes(
        queue=found.pop("queue", None),
        priority=priority,
        tenant=found.pop("tenant", None),
        wait=_wait(headers.get("prefer")),
        detach=detach,
        restarts=restarts,
        task=found,
    )


def _flag(found: dict[str, Any], name: str) -> bool:
    flag = found.pop(name, False)
    if not isinstance(flag, bool):
        raise InputError(f"taskfleet.{name}: it must be true or false")
    return flag


def scoped(task: Mapping[str, Any], caller: Caller, tenant: str) -> dict[str, Any]:
    """With an idempotency key that is the tenant's own: those of two tenants never meet."""
    key = task.get("idempotency_key")
    if caller.tenant is None or not isinstance(key, str):
        return dict(task)
    return {**task, "idempotency_key": f"{tenant}/{key}"}


def seconds_of(text: str, name: str) -> float:
    """A number of seconds in a query, such as ``wait=30``. Raises InputError."""
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text) or float(text) > MAX_WAIT_SECONDS:
        raise InputError(f"{name}: {text[:40]!r} is not a number of seconds from 0 to {MAX_WAIT_SECONDS:g}")
    return float(text)


def _wait(prefer: str | None) -> float | None:
    found = _WAIT.search(prefer) if prefer else None
    return min(float(found[1]), MAX_WAIT_SECONDS) if found else None
