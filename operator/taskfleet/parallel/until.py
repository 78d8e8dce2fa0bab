"""The condition that ends a run early, over what came to pass so far: looked at often, within a share of the time."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from taskfleet.core.parallel.rules import ItemStatus
from taskfleet.core.parallel.tally import Tally
from taskfleet.parallel.templates import Compiled, Names

MAX_RESULTS = 10_000
QUICKEST, SLOWEST = 0.1, 0.8  # seconds between two looks
SHARE = 0.2  # of the time may go into looking


class Until:
    """Without a condition it never holds. ``wants_results``: the condition asks for them, and they are to be added."""

    def __init__(self, condition: Compiled | None, inputs: Names) -> None:
        self._condition = condition
        self._inputs = inputs
        self.wants_results = condition is not None and "$results" in condition.names
        self._results: deque[Mapping[str, Any]] = deque(maxlen=MAX_RESULTS)
        self._next_look = 0.0

    def add(self, line: Mapping[str, Any]) -> None:
        """One more result line; the newest are kept."""
        self._results.append(line)

    @property
    def seconds_to_next_look(self) -> float | None:
        """None: there is nothing to look at."""
        return None if self._condition is None else max(0.0, self._next_look - time.monotonic())

    def holds(self, tally: Tally, elapsed: float) -> bool:
        """Whether it is time to look, and the condition holds. Raises InputError."""
        began = time.monotonic()
        if self._condition is None or began < self._next_look:
            return False
        values = {
            "$completed": tally.items[ItemStatus.COMPLETED],
            "$failed": tally.items[ItemStatus.FAILED],
            "$cancelled": tally.items[ItemStatus.CANCELLED],
            "$done": tally.done,
            "$elapsed": elapsed,
            "$results": list(self._results),
        }
        found = bool(self._condition.render({**self._inputs, **values}, "until"))
        ended = time.monotonic()
        self._next_look = ended + min(SLOWEST, max(QUICKEST, (ended - began) / SHARE))
        return found
