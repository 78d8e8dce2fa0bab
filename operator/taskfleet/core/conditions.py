"""Status conditions in the form of metav1.Condition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as decided now: a CamelCase reason for machines, a sentence for people."""

    type: str
    status: Status
    reason: str
    message: str


def merge_conditions(
    previous: Sequence[Mapping[str, Any]], decided: Sequence[Condition], *, generation: int, now: str
) -> list[dict[str, Any]]:
    """The condition list to write. ``lastTransitionTime`` moves to ``now`` (RFC 3339) only when a status flips."""
    before = {str(item.get("type")): item for item in previous}
    merged = []
    for condition in decided:
        old = before.get(condition.type, {})
        since = old.get("lastTransitionTime") if old.get("status") == condition.status.value else None
        merged.append(
            {
                "type": condition.type,
                "status": condition.status.value,
                "reason": condition.reason,
                "message": condition.message,
                "lastTransitionTime": since or now,
                "observedGeneration": generation,
            }
        )
    return merged
