"""What the items of a run came to, counted as they end, so that a million of them cost no memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskfleet.core.parallel.rules import ItemStatus

MOST_CAUSES = 100
LONGEST_CAUSE = 200
OTHER_CAUSES = "other causes"


@dataclass(slots=True)
class Tally:
    """``steps``: how many steps of each name ended well, were skipped, failed. ``causes``: failed items by reason."""

    items: dict[ItemStatus, int] = field(default_factory=lambda: dict.fromkeys(ItemStatus, 0))
    steps: dict[str, dict[str, int]] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return sum(self.items.values())

    def step_ended(self, name: str, outcome: str) -> None:
        counts = self.steps.setdefault(name, {})
        counts[outcome] = counts.get(outcome, 0) + 1

    def item_ended(self, status: ItemStatus, reason: str) -> None:
        self.items[status] += 1
        if status is ItemStatus.FAILED:
            cause = " ".join(reason.split())[:LONGEST_CAUSE]
            if cause not in self.causes and len(self.causes) >= MOST_CAUSES:
                cause = OTHER_CAUSES
            self.causes[cause] = self.causes.get(cause, 0) + 1

    def commonest(self, most: int) -> list[tuple[str, int]]:
        """The commonest causes with their numbers, most first."""
        return sorted(self.causes.items(), key=lambda cause: -cause[1])[:most]

    def to_dict(self) -> dict[str, Any]:
        items = {status.value: count for status, count in self.items.items()}
        return {"items": items, "steps": self.steps, "causes": self.causes}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Tally":
        items = {ItemStatus(status): count for status, count in fields["items"].items()}
        return cls(dict.fromkeys(ItemStatus, 0) | items, fields["steps"], fields["causes"])
