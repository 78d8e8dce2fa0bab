"""A small history in which everything is right, and its evidence, to be broken in one place."""

from typing import Any

from chaos.checks import Evidence
from chaos.history import Call, History
from chaos.reruns import reruns
from taskfleet.core.task import Priority, TaskError, TaskState, TaskView

LEASE = 5.0


def history(*calls: Call) -> History:
    """Each task of the calls was accepted at 0."""
    found = History()
    for call in calls:
        found.calls[call.task].append(call)
        found.accepted[call.task] = 0.0
    return found


def view(call: Call, **different: Any) -> TaskView:
    """What the store says of a task that this call completed."""
    fields = {
        "id": call.task,
        "state": TaskState.COMPLETED,
        "model": "stub",
        "priority": Priority.NORMAL,
        "attempts": 1,
        "enqueued_at": 0.0,
        "output": str(call.number),
        "worker": call.worker,
    }
    return TaskView(**(fields | different))


def failed(call: Call, code: str) -> TaskView:
    return view(call, state=TaskState.FAILED, output=None, error=TaskError(code, "words"))


def evidence(past: History, *views: TaskView, **different: Any) -> Evidence:
    """Of all that was accepted: what has no view is not there."""
    found: dict[str, TaskView | None] = dict.fromkeys(past.accepted) | {view.id: view for view in views}
    fields = {
        "history": past,
        "views": found,
        "reruns": list(reruns(past, found)),
        "changed": [],
        "census": "",
        "lease": LEASE,
        "loses_power": False,
    }
    return Evidence(**(fields | different))
