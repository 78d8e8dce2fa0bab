"""Those who follow a queue: each hears what is his to hear, as fast as he listens."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from taskfleet.core.events import Progress
from taskfleet.gateway.callers import Caller

MOST_KEPT = 10_000  # ids of tasks that ended, for one who reads slowly


class Kind(StrEnum):
    """``ended``: tasks, by their ids. ``progress``: of running ones. ``wake``: there may be something to claim, or the
    queue has changed."""

    ENDED = "ended"
    PROGRESS = "progress"
    WAKE = "wake"


@dataclass(slots=True)
class Told:
    """What is new since the last time. ``missed``: also something that is not told any more."""

    ended: list[str]
    progress: dict[str, Progress]
    wake: bool
    missed: bool


class Follower:
    """One who follows a queue, and hears what is his to hear."""

    def __init__(self, caller: Caller, kinds: frozenset[Kind]) -> None:
        self.caller = caller
        self.ended = False  # nothing more is told: the gateway stops
        self._kinds = kinds
        self._news = asyncio.Event()
        self._told = Told([], {}, wake=False, missed=False)

    async def news(self) -> Told:
        """Waits until there are some."""
        await self._news.wait()
        self._news.clear()
        told, self._told = self._told, Told([], {}, wake=False, missed=False)
        return told

    def tell_ended(self, ids: Sequence[str]) -> None:
        if Kind.ENDED in self._kinds and ids:
            if len(self._told.ended) + len(ids) > MOST_KEPT:
                self._told.ended.clear()
                self.tell_missed()
            else:
                self._told.ended += ids
                self._news.set()

    def tell_progress(self, told: Mapping[str, Progress]) -> None:
        if Kind.PROGRESS in self._kinds and told:
            self._told.progress.update(told)
            self._news.set()

    def tell_wake(self) -> None:
        if Kind.WAKE in self._kinds:
            self._told.wake = True
            self._news.set()

    def tell_missed(self) -> None:
        self._told.missed = True
        self._news.set()

    def end(self) -> None:
        self.ended = True
        self._news.set()
