"""How fast a worker is, as it tells the controller: seconds and tokens of one task, tasks in a minute. Pure."""

from collections import deque

WINDOW_SECONDS = 60.0
_NEWEST_WEIGHS = 0.2
LEAST_AHEAD_SECONDS = 0.02


class Pace:
    """Times are seconds of any steady clock; ``now`` never goes back."""

    def __init__(self, now: float) -> None:
        self.seconds_per_task: float | None = None
        self.tokens_per_task: float | None = None
        self._claim_seconds = 0.0
        self._since = now
        self._finished: deque[tuple[int, int]] = deque()  # (second, tasks finished in it)

    def finished(self, now: float, run_seconds: float, tokens: int = 0) -> None:
        """``tokens``: of input and output, 0 when the server did not count them."""
        self.seconds_per_task = _average(self.seconds_per_task, run_seconds)
        if tokens:
            self.tokens_per_task = _average(self.tokens_per_task, tokens)
        second = int(now)
        if self._finished and self._finished[-1][0] == second:
            self._finished[-1] = (second, self._finished[-1][1] + 1)
        else:
            self._finished.append((second, 1))
            self._forget(now)

    def claimed(self, seconds: float) -> None:
        """A claim and its answer took so long."""
        self._claim_seconds = _average(self._claim_seconds, seconds)

    def tasks_per_minute(self, now: float) -> float:
        """The rate over the last minute, or over the worker's life while that is shorter."""
        self._forget(now)
        span = min(max(now - self._since, 1.0), WINDOW_SECONDS)
        return sum(count for _, count in self._finished) * 60.0 / span

    def ahead_of(self, slots: int) -> int:
        """Tasks to hold beside those that run, at most as many: what ends in all slots during two claims, as the next
        claim goes out when half of them are used up. None where a task takes long, or nothing is known."""
        if not self.seconds_per_task:
            return 0
        seconds = max(2 * self._claim_seconds, LEAST_AHEAD_SECONDS)
        return min(slots, int(slots * seconds / self.seconds_per_task))

    def _forget(self, now: float) -> None:
        while self._finished and self._finished[0][0] < now - WINDOW_SECONDS:
            self._finished.popleft()


def _average(old: float | None, newest: float) -> float:
    return newest if old is None else old + _NEWEST_WEIGHS * (newest - old)
