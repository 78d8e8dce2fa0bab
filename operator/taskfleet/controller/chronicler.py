"""Keeps what is shown and told of a queue's objects in the store too, where `taskfleet explain` finds it.

A Surface around the real one. The store may be away: what it did not take waits here, the newest of each object.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.fleet import Guarded, Kind, Shown, Surface
from taskfleet.controller.storelink import StoreLink
from taskfleet.core.chronicle import MOST_DECISIONS, Chronicle, Decision, Subject
from taskfleet.core.errors import NotLeading, StoreError
from taskfleet.core.task import QueueKey

PAUSE_SECONDS = 0.5  # between two writes: of what changes faster, the newest is enough


class Chronicler:
    """``is_known``: whether a queue exists; of one that does not, nothing is kept. ``may_act`` raises NotLeading once
    another controller does this."""

    def __init__(
        self,
        surface: Surface,
        link: StoreLink,
        *,
        is_known: Callable[[QueueKey], bool],
        may_act: Callable[[], None],
    ) -> None:
        self._surface = surface
        self._link = link
        self._is_known = is_known
        self._may_act = may_act
        self._said: defaultdict[QueueKey, dict[Subject, dict[str, Any] | None]] = defaultdict(dict)
        self._unwritten: defaultdict[QueueKey, set[Subject]] = defaultdict(set)
        self._decisions: defaultdict[QueueKey, deque[Decision]] = defaultdict(lambda: deque(maxlen=MOST_DECISIONS))
        self._news = asyncio.Event()

    async def write_status(self, kind: Kind, obj: Shown, status: dict[str, Any]) -> None:
        await self._surface.write_status(kind, obj, status)
        self._say(_queue_of(obj), (kind, obj.metadata.name), status | _limits(obj))

    def event(self, kind: Kind, obj: Shown, reason: str, message: str, *, warning: bool) -> None:
        self._surface.event(kind, obj, reason, message, warning=warning)
        self._decisions[_queue_of(obj)].appendleft(Decision(time.time(), kind, obj.metadata.name, reason, message))
        self._news.set()

    async def ensure_finalizer(self, obj: Guarded) -> None:
        await self._surface.ensure_finalizer(obj)

    async def release(self, obj: Guarded) -> None:
        await self._surface.release(obj)

    def forget_queue(self, queue: QueueKey) -> None:
        """It is gone, with all that was kept of it."""
        self._said.pop(queue, None)
        self._unwritten.pop(queue, None)
        self._decisions.pop(queue, None)

    def forget(self, obj: WorkerPool | ParallelQueue) -> None:
        """It is gone, or of another queue by now."""
        self._say(obj.queue, (obj.kind, obj.metadata.name), None)

    def store_changed(self) -> None:
        """Another store, or one that lost its memory, may be there."""
        for queue, said in self._said.items():
            self._unwritten[queue].update(said)
        self._news.set()

    async def run(self) -> None:
        """Write for ever. While the store is away nothing is tried: ``store_changed`` tells when it is back."""
        while True:
            await self._news.wait()
            self._news.clear()
            for queue in filter(self._is_known, {*self._unwritten, *self._decisions}):
                try:
                    self._may_act()
                    await self._write(queue)
                except StoreError as error:
                    self._link.failed(error)
                except NotLeading:
                    await asyncio.Event().wait()  # for ever: what is decided from now on, others say
            await asyncio.sleep(PAUSE_SECONDS)

    def _say(self, queue: QueueKey, subject: Subject, status: dict[str, Any] | None) -> None:
        self._said[queue][subject] = status
        self._unwritten[queue].add(subject)
        self._news.set()

    async def _write(self, queue: QueueKey) -> None:
        said, decisions = self._said[queue], self._decisions[queue]
        news = Chronicle({subject: said[subject] for subject in self._unwritten[queue]}, tuple(decisions))
        await self._link.use().record(queue, news)
        for _ in news.decisions:
            decisions.pop()  # those that came meanwhile are at the other end
        for subject, status in news.said.items():
            if said.get(subject) is status:
                self._unwritten[queue].discard(subject)
                if status is None:
                    del said[subject]
        if not self._unwritten[queue]:
            del self._unwritten[queue]
        if not decisions:
            self._decisions.pop(queue, None)


def _limits(obj: Shown) -> dict[str, Any]:
    if not isinstance(obj, WorkerPool):
        return {}
    shown = ("models", "concurrency", "maxWorkers", "rateLimit")
    specs = {endpoint.name: endpoint.to_wire() for endpoint in obj.spec.endpoints}
    return {"limits": {name: {field: spec[field] for field in shown if field in spec} for name, spec in specs.items()}}


def _queue_of(obj: Shown) -> QueueKey:
    return obj.key if isinstance(obj, TaskQueue) else obj.queue
