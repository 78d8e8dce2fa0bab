"""Times that come: those of steps, and that of the run's deadline."""

import heapq
import time

from taskfleet.core.parallel.moves import At, StepTimedOut


class Timers:
    """Times are seconds since the epoch, so that they outlive a coordinator."""

    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline
        self._steps: list[tuple[float, int, tuple[int, int, int]]] = []

    def step(self, index: int, at: At, due: float) -> None:
        heapq.heappush(self._steps, (due, index, (at.round, at.step, at.attempt)))

    def due(self) -> list[StepTimedOut]:
        """Steps whose time has come; some have ended meanwhile."""
        found: list[StepTimedOut] = []
        now = time.time()
        while self._steps and self._steps[0][0] <= now:
            _, index, at = heapq.heappop(self._steps)
            found.append(StepTimedOut(index, At(*at)))
        return found

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
