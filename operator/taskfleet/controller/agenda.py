"""What the reconciler has to look at, and when: marks that are due at once and times to look again, in one place."""

import asyncio
import heapq
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Agenda(Generic[Key]):
    """Each key has at most one time; an earlier mark moves it forward, a later one changes nothing.

    A key that was taken is busy until ``done``: marks in between are kept and come due after it, so that nobody
    ever works on one key twice at a time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[Key, float] = {}
        self._order: list[tuple[float, int, Key]] = []
        self._marks = 0
        self._busy: set[Key] = set()
        self._earlier = asyncio.Event()

    def mark(self, key: Key, at: float | None = None) -> None:
        """Look at ``key`` at the time ``at``, now when None."""
        when = self._clock() if at is None else at
        if when >= self._due.get(key, float("inf")):
            return
        self._due[key] = when
        self._marks += 1
        heapq.heappush(self._order, (when, self._marks, key))
        self._earlier.set()

    def done(self, key: Key) -> None:
        """Work on a taken key ended."""
        self._busy.discard(key)
        if key in self._due:
            self._marks += 1
            heapq.heappush(self._order, (self._due[key], self._marks, key))
            self._earlier.set()

    def drop(self, key: Key) -> None:
        """Forget the time of a key; its work, if it goes on, is not touched."""
        self._due.pop(key, None)

    async def take(self) -> Key:
        """The next due key, waited for without polling. It is busy until ``done``."""
        while True:
            self._earlier.clear()
            wait = self._next_wait()
            if wait is None or wait > 0:
                try:
                    async with asyncio.timeout(wait):
                        await self._earlier.wait()
                except TimeoutError:
                    pass
                continue
            _, _, key = heapq.heappop(self._order)
            del self._due[key]
            self._busy.add(key)
            return key

    def _next_wait(self) -> float | None:
        """Seconds until the first key is due; marks that were moved, dropped or wait for their busy key are skipped."""
        while self._order:
            when, _, key = self._order[0]
            if self._due.get(key) == when and key not in self._busy:
                return max(0.0, when - self._clock())
            heapq.heappop(self._order)
        return None
