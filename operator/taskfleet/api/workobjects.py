"""Work over HTTP as it is written: by a worker outside (``worksaid`` reads that), and by the gateway for it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson

from taskfleet.core.events import Publication
from taskfleet.core.settlement import Claim, Settlement, WorkerReport
from taskfleet.core.task import LeasedTask, Priority
from taskfleet.core.wiretime import exact_wire_time, moment_of


def lease_end(settlement: Settlement) -> dict[str, Any]:
    """A settlement as a worker says it."""
    said = {name: value for name, value in asdict(settlement).items() if name not in ("task_id", "turn")}
    turn = settlement.turn
    return {
        "id": settlement.task_id,
        **said,
        "turn": turn and {"messages": orjson.Fragment(turn.messages), "forgotten": turn.forgotten},
    }


def pieces(told: Publication) -> dict[str, Any]:
    """A publication as a worker says it."""
    chunks = [orjson.Fragment(chunk) for chunk in told.chunks]
    return {"id": told.task_id, "fence": told.fence, "first": told.first, "chunks": chunks, "about": dict(told.about)}


def report_fields(report: WorkerReport) -> dict[str, Any]:
    """A report as a worker says it, beside its name."""
    return {name: value for name, value in asdict(report).items() if name != "worker"}


def leased_object(task: LeasedTask) -> dict[str, Any]:
    """A task in the hands of a worker. ``body``: what is asked, as the store has it."""
    return {
        "id": task.id,
        "object": "lease",
        "fence": task.fence,
        "attempt": task.attempt,
        "model": task.model,
        "priority": task.priority.label,
        "session": task.session,
        "batch": task.batch,
        "tenant": task.tenant,
        "deadline": None if task.deadline is None else exact_wire_time(task.deadline),
        "enqueued_at": exact_wire_time(task.enqueued_at),
        "claimed_at": exact_wire_time(task.claimed_at),
        "body": orjson.Fragment(task.body),
    }


def claim_of(shown: Mapping[str, Any]) -> Claim:
    """The claim that a gateway's answer is. KeyError, TypeError or ValueError when it is none."""
    tasks = tuple(
        LeasedTask(
            id=task["id"],
            model=task["model"],
            body=orjson.dumps(task["body"]),
            priority=Priority.parse(task["priority"]),
            fence=task["fence"],
            attempt=task["attempt"],
            enqueued_at=moment_of(task["enqueued_at"]),
            claimed_at=moment_of(task["claimed_at"]),
            session=task["session"],
            batch=task["batch"],
            tenant=task["tenant"],
            deadline=None if task["deadline"] is None else moment_of(task["deadline"]),
            metadata=task["body"].get("metadata", {}),
        )
        for task in shown["data"]
    )
    return Claim(tasks, shown["next_due_in"], shown["policy_version"], shown["stopped"])
