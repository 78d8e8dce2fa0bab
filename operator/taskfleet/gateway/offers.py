"""The tasks of one queue whose callers wait here, and which this gateway may run itself. No I/O."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from taskfleet.core.task import NewTask, Priority


@dataclass(slots=True)
class _Offer:
    """``since``: the monotonic seconds from which on it may be taken. ``taken``: it runs here."""

    model: str
    priority: Priority
    since: float
    taken: bool = False


class Offers:
    """Each is offered until its caller withdraws it, or the store has it no more for us. ``lanes``: the models whose
    tasks may be taken now."""

    def __init__(self) -> None:
        self.lanes: frozenset[str] = frozenset()
        self._offers: dict[str, _Offer] = {}
        self._bells: list[Callable[[], None]] = []

    def __bool__(self) -> bool:
        return bool(self._offers)

    @property
    def wanted(self) -> bool:
        """Whether there is a task that may be taken, or one that runs here."""
        return any(offer.taken or offer.model in self.lanes for offer in self._offers.values())

    def on_news(self, ring: Callable[[], None]) -> Callable[[], None]:
        """Have ``ring`` called when there may be something to take; what is returned ends that."""
        self._bells.append(ring)
        return lambda: self._bells.remove(ring)

    def add(self, task: NewTask) -> None:
        self._offers.setdefault(task.id, _Offer(task.model, task.priority, time.monotonic()))
        self.ring()

    def withdraw(self, task_id: str) -> None:
        """Its caller waits no more."""
        self._offers.pop(task_id, None)

    def ring(self) -> None:
        for ring in self._bells:
            ring()

    def take(self, models: Collection[str], count: int) -> list[str]:
        """Up to ``count`` tasks of these models, by priority and then in order, which are nobody else's here now."""
        now = time.monotonic()
        there = [
            (offer.priority, task_id)
            for task_id, offer in self._offers.items()
            if not offer.taken and offer.since <= now and offer.model in models and offer.model in self.lanes
        ]
        ids = [task_id for _, task_id in sorted(there, key=lambda each: each[0])[:count]]
        for task_id in ids:
            self._offers[task_id].taken = True
        return ids

    def put_back(self, ids: Sequence[str], seconds: float = 0.0) -> None:
        """They were not run to their end here, and may be taken again after so long."""
        for task_id in ids:
            if (offer := self._offers.get(task_id)) is not None:
                offer.taken, offer.since = False, time.monotonic() + seconds
        if ids:
            self.ring()

    def next_in(self, models: Collection[str]) -> float | None:
        """Seconds until the next one of these models may be taken; None when there is none."""
        now = time.monotonic()
        times = [offer.since for offer in self._offers.values() if not offer.taken and offer.model in models]
        return max(min(times) - now, 0.0) if times else None
