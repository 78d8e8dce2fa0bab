"""Times that come: those of steps, and that of the run's deadline."""

import heapq
import itertools
import time
from collections.abc import Callable


class Timers:
    """Times are seconds since the epoch, so that they outlive a coordinator."""

    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline
        self._steps: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()

    def step(self, due: float, tell: Callable[[], None]) -> None:
        heapq.heappush(self._steps, (due, next(self._number), tell))

    def ring(self) -> None:
        """Tell of steps whose time has come; some have ended meanwhile."""
        now = time.time()
        while self._steps and self._steps[0][0] <= now:
            heapq.heappop(self._steps)[2]()

    def deadline_has_come(self) -> bool:
        """True once."""
        if self.deadline is None or time.time() < self.deadline:
            return False
        self.deadline = None
        return True

    @property
    def seconds_to_next(self) -> float | None:
        times = [due for due, *_ in self._steps[:1]] + ([] if self.deadline is None else [self.deadline])
        return max(0.0, min(times) - time.time()) if times else None
