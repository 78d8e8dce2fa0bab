"""What the controller says of a queue and of those who serve it, kept beside the queue's tasks for whoever asks why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_DECISIONS = 50

Subject = tuple[str, str]  # kind (TaskQueue, WorkerPool or ParallelQueue) and name
# As its custom resource has it. That of a pool has ``limits`` beside it: by the name of each endpoint what it serves,
# and the most that is asked of it, as its spec has them.
Status = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """One event: when (seconds since the epoch), of which object, a word for machines and a sentence for people."""

    at: float
    kind: str
    name: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Chronicle:
    """``said``: the newest status of each object, None of one that is gone. ``decisions``: newest first."""

    said: Mapping[Subject, Status | None] = field(default_factory=dict)
    decisions: Sequence[Decision] = ()


def conditions(status: Status) -> Mapping[str, Mapping[str, str]]:
    """Those of a status, by type."""
    return {condition["type"]: condition for condition in status.get("conditions", ())}
