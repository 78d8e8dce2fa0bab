"""Which of the open tasks are looked at again, and when: in turn, more often while something happens, and never so
often that looking takes much of the time."""

import time
from collections import deque
from collections.abc import Mapping

AT_ONCE = 500
QUICKEST, SLOWEST = 0.01, 0.25
NUDGED = 0.5  # between two looks at what nobody nudges about, where ends are nudged
SHARE, NUDGED_SHARE = 0.2, 0.04  # of the time may go into looking


class Rounds:
    """Over the keys of ``open_``, of which each new one is to be ``add``ed. ``nudged``: somebody tells of most ends,
    and looking is for the rest."""

    def __init__(self, open_: Mapping[str, object], *, nudged: bool) -> None:
        self._open = open_
        self._nudged = nudged
        self._turn: deque[str] = deque()  # in the order in which they are looked at, and some that have ended
        self._pause = QUICKEST
        self._next = self._began = 0.0
        self._open_before = 0

    def __len__(self) -> int:
        return len(self._turn)

    def add(self, task_id: str) -> None:
        """Where nothing else is open, the first look is for an end of which nobody told."""
        self._turn.append(task_id)
        if self._nudged and len(self._open) == 1:
            self._next = time.monotonic() + NUDGED
        if len(self._turn) > 2 * len(self._open) + AT_ONCE:  # most have ended: in a long run they would pile up
            self._turn = deque(self._open)

    def hurry(self) -> None:
        """Something new is open."""
        if not self._nudged:
            self._pause = QUICKEST
            self._next = min(self._next, time.monotonic() + QUICKEST)

    @property
    def seconds_to_next(self) -> float | None:
        """0 or less: it is time; None: nothing is open."""
        return self._next - time.monotonic() if self._open else None

    def next(self) -> list[str]:
        """Those that are looked at now. Tell when that is ``done``."""
        self._began, self._open_before = time.monotonic(), len(self._open)
        ids: list[str] = []
        for _ in range(min(AT_ONCE, len(self._turn))):
            task_id = self._turn.popleft()
            if task_id in self._open:
                ids.append(task_id)
                self._turn.append(task_id)
        return ids

    def done(self) -> None:
        now = time.monotonic()
        self._pause = QUICKEST if len(self._open) < self._open_before else min(self._pause * 1.5, SLOWEST)
        least, share = (NUDGED, NUDGED_SHARE) if self._nudged else (self._pause, SHARE)
        self._next = now + max(least, (now - self._began) / share)
