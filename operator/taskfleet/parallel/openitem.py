"""An item on its way: what it is, where it is, and what its steps came to so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskfleet.core.parallel.moves import At
from taskfleet.core.parallel.rules import ItemStatus
from taskfleet.core.wiretime import exact_wire_time
from taskfleet.parallel.stepresult import StepResult

_BEGINNING = At()


@dataclass(slots=True)
class OpenItem:
    """``results`` are those of the steps of this round. Times are seconds since the epoch. ``key``: see ``place``."""

    key: str
    index: int
    value: Any
    began: float
    at: At = _BEGINNING
    step_began: float = 0.0
    results: dict[str, StepResult] = field(default_factory=dict)

    def names(self) -> dict[str, Any]:
        """What templates know of it."""
        own = {"$item": self.value, "$index": self.index, "$iteration": self.at.round}
        return own | self.results

    def to_json(self) -> dict[str, Any]:
        """All that another coordinator needs to go on with it."""
        at = [self.at.round, self.at.step, self.at.attempt]
        times = [self.began, self.step_began]
        return {"item": self.value, "at": at, "times": times, "results": self.results}

    @classmethod
    def from_json(cls, key: str, index: int, fields: Mapping[str, Any]) -> "OpenItem":
        began, step_began = fields["times"]
        results = {name: StepResult(found) for name, found in fields["results"].items()}
        return cls(key, index, fields["item"], began, At(*fields["at"]), step_began, results)

    def line(self, status: ItemStatus, reason: str, now: float) -> dict[str, Any]:
        """Its result line, now that it has ended."""
        return {
            "index": self.index,
            "item": self.value,
            "status": status.value,
            "steps": self.results,
            "error": reason or None,
            "began": exact_wire_time(self.began),
            "rounds": self.at.round + 1,
            "attempts": sum(result["attempts"] for result in self.results.values()),
            "seconds": round(now - self.began, 3),
        }
