"""How fast a worker is, as it tells the controller: seconds and tokens of one task, tasks in a minute. Pure."""

from collections import deque

WINDOW_SECONDS = 60.0
_NEWEST_WEIGHS = 0.2
AHEAD_SECONDS = 0.02  # a claim and its answer, on a busy machine


class Pace:
    """Times are seconds of any steady clock; ``now`` never goes back."""

    def __init__(self, now: float) -> None:
        self.seconds_per_task: float | None = None
        self.tokens_per_task: float | None = None
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

    def tasks_per_minute(self, now: float) -> float:
        """The rate over the last minute, or over the worker's life while that is shorter."""
        self._forget(now)
        span = min(max(now - self._since, 1.0), WINDOW_SECONDS)
        return sum(count for _, count in self._finished) * 60.0 / span

    def ahead_of(self, slots: int) -> int:
        """Tasks that end in all slots while a claim is on its way: none where a task takes long. At most half the
        slots."""
        return min(slots // 2, int(slots * AHEAD_SECONDS / self.seconds_per_task)) if self.seconds_per_task else 0

    def _forget(self, now: float) -> None:
        while self._finished and self._finished[0][0] < now - WINDOW_SECONDS:
            self._finished.popleft()


def _average(old: float | None, newest: float) -> float:
    return newest if old is None else old + _NEWEST_WEIGHS * (newest - old)
