"""How the items of a run went over its time: counted in slices, so that a million of them cost no memory. Pure."""

from collections.abc import Mapping
from typing import Any

from taskfleet.core.parallel.rules import ItemStatus
from taskfleet.core.wiretime import moment_of

SLICES = 240


class Course:
    """``seconds`` from ``began`` (since the epoch) on, in slices; ``add`` each result line."""

    def __init__(self, began: float, seconds: float) -> None:
        self.seconds = max(seconds, 0.001)
        self._began = began
        self._begun = [0] * (SLICES + 1)
        self._ended = {status: [0] * (SLICES + 1) for status in ItemStatus}

    def add(self, line: Mapping[str, Any]) -> None:
        began = moment_of(line["began"]) - self._began
        self._begun[self._slice(began)] += 1
        self._ended[ItemStatus(line["status"])][self._slice(began + line["seconds"])] += 1

    def add_open(self, began: float) -> None:
        """An item that has not ended; ``began`` is since the epoch."""
        self._begun[self._slice(began - self._began)] += 1

    def _slice(self, seconds: float) -> int:
        return min(SLICES, max(0, round(seconds / self.seconds * SLICES)))

    def ended(self, status: ItemStatus) -> list[int]:
        """How many had ended so at the end of each slice."""
        return _summed(self._ended[status])

    def begun(self) -> list[int]:
        """How many had begun by then, whatever became of them."""
        return _summed(self._begun)


def _summed(counts: list[int]) -> list[int]:
    total, found = 0, []
    for count in counts:
        total += count
        found.append(total)
    return found
