"""What a list of tasks is to show: the filters of ``GET /v1/tasks``. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from taskfleet.core.errors import InputError
from taskfleet.core.task import Priority, TaskState, TaskView, is_task_id
from taskfleet.core.wiretime import moment_of
from taskfleet.gateway.answers import Refused
from taskfleet.gateway.callers import Caller

FILTERS: Mapping[str, str] = {
    "status": "pending, running, completed, failed, cancelled or expired",
    "model": "by its name in the queue, whether asked for or who answered",
    "priority": "critical, high, normal or low",
    "tenant": "another one than the key's own only with the right admin",
    "session": "its name",
    "batch": "whose tasks, in input order",
    "error": "a part of the error's message, in any case",
    "error_code": "the error's code, such as timeout",
    "created_after": "a moment, such as 2026-11-26T10:00:00Z",
    "created_before": "a moment",
}
OTHERS = ("queue", "limit", "after")
_LONGEST = 256


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """None where all are wanted. Times in seconds since the epoch."""

    status: TaskState | None = None
    model: str | None = None
    priority: Priority | None = None
    tenant: str | None = None
    session: str | None = None
    batch: str | None = None
    error: str | None = None
    error_code: str | None = None
    created_after: float | None = None
    created_before: float | None = None

    def shows(self, view: TaskView) -> bool:
        """Whether a task is one of those."""
        exact = (
            (self.status, view.state),
            (self.priority, view.priority),
            (self.tenant, view.tenant),
            (self.session, view.session),
            (self.batch, view.batch),
            (self.error_code, view.error and view.error.code),
        )
        return (
            all(wanted in (None, there) for wanted, there in exact)
            and self.model in (None, view.model, view.requested_model)
            and (self.error is None or (view.error is not None and self.error in view.error.message.lower()))
            and (self.created_after is None or view.enqueued_at > self.created_after)
            and (self.created_before is None or view.enqueued_at < self.created_before)
        )


def read_filter(query: Mapping[str, str], caller: Caller) -> TaskFilter:
    """The filter of a request. Raises InputError that names the parameter, Refused (403) for another's tenant."""
    unknown = next((name for name in query if name not in FILTERS and name not in OTHERS), None)
    if unknown is not None:
        raise InputError(f"{unknown[:64]}: there is no such filter; there are {', '.join((*FILTERS, *OTHERS))}")
    for name in FILTERS:
        if name in query and not 1 <= len(query[name]) <= _LONGEST:
            raise InputError(f"{name}: it must have 1 to {_LONGEST} characters; leave it out to see all")
    tenant, batch, error = query.get("tenant"), query.get("batch"), query.get("error")
    if tenant is not None and not caller.sees(tenant):
        raise Refused(403, "not_permitted", f"tenant: the API key {caller.name!r} is of another tenant")
    if batch is not None and not is_task_id(batch):
        raise InputError(f"batch: {batch[:128]!r} is not the name of a batch")
    return TaskFilter(
        status=_status(query),
        model=query.get("model"),
        priority=_priority(query),
        tenant=tenant,
        session=query.get("session"),
        batch=batch,
        error=None if error is None else error.lower(),
        error_code=query.get("error_code"),
        created_after=_moment(query, "created_after"),
        created_before=_moment(query, "created_before"),
    )


def _status(query: Mapping[str, str]) -> TaskState | None:
    word = query.get("status")
    try:
        return None if word is None else TaskState(word)
    except ValueError:
        raise InputError(f"status: {word!r} is none of {', '.join(TaskState)}") from None


def _priority(query: Mapping[str, str]) -> Priority | None:
    word = query.get("priority")
    labels = [priority.label for priority in Priority]
    if word not in (None, *labels):
        raise InputError(f"priority: {word!r} is none of {', '.join(labels)}")
    return None if word is None else Priority.parse(word)


def _moment(query: Mapping[str, str], name: str) -> float | None:
    try:
        return None if name not in query else moment_of(query[name])
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
