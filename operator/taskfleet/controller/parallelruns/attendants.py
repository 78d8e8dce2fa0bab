"""All ParallelQueues: each that has not ended has an attendant."""

import asyncio
from collections.abc import Awaitable, Callable

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.controller.parallelruns.attendant import Attendant
from taskfleet.controller.parallelruns.desk import Desk
from taskfleet.controller.parallelruns.ownrun import Office
from taskfleet.controller.parallelruns.slots import Slots
from taskfleet.core.names import FINALIZER
from taskfleet.core.parallel.phase import Phase
from taskfleet.core.task import QueueKey
from taskfleet.store import Store

Name = tuple[str, str]


class Attendants:
    """Give it objects, before and while it runs. All methods belong to the event loop that ``run`` runs on."""

    def __init__(self, desk: Desk, store: Callable[[], Awaitable[Store]], count: Callable[[str], None]) -> None:
        self._office = Office(desk, Slots(), store, self._earlier, count)
        self._desk = desk
        self._working: dict[Name, tuple[Attendant, asyncio.Task[None]]] = {}
        self._ended: dict[Name, tuple[ParallelQueue, Phase]] = {}
        self._waiting: dict[Name, ParallelQueue] | None = {}

    def set(self, queue: ParallelQueue) -> None:
        """Take in a ParallelQueue as it is now: new, edited, being deleted, or the same again."""
        name = (queue.metadata.namespace, queue.metadata.name)
        if self._waiting is not None:
            self._waiting[name] = queue
            return
        working = self._working.get(name)
        if working is not None and working[0].queue.metadata.uid == queue.metadata.uid:
            working[0].see(queue)
            return
        ended = self._ended.get(name)
        if ended is not None and ended[0].metadata.uid == queue.metadata.uid and not _has_work(queue):
            return
        self._begin(name, queue)

    def forget(self, namespace: str, name: str) -> None:
        """The ParallelQueue is gone: nobody drives its run any more."""
        if self._waiting is not None:
            self._waiting.pop((namespace, name), None)
        gone = None
        if working := self._working.pop((namespace, name), None):
            gone = working[0].queue
            working[1].cancel()
        if ended := self._ended.pop((namespace, name), None):
            gone = ended[0]
        if gone is not None:
            self._desk.forget(gone)

    async def run(self) -> None:
        """Until cancelled. What runs already comes first, so that it goes on at once."""
        found, self._waiting = self._waiting or {}, None
        for name, queue in sorted(found.items(), key=lambda each: each[1].status.get("phase") != Phase.RUNNING):
            self._begin(name, queue)
        try:
            await asyncio.Event().wait()
        finally:
            jobs = [job for _, job in self._working.values()]
            for job in jobs:
                job.cancel()
            if jobs:
                await asyncio.wait(jobs)

    def _begin(self, name: Name, queue: ParallelQueue) -> None:
        before = self._working.pop(name, None)
        if before is not None:  # an object of this name that has gone unseen
            before[1].cancel()
        attendant = Attendant(queue, self._office)
        job = asyncio.create_task(attendant.run())
        self._working[name] = attendant, job
        job.add_done_callback(lambda done: self._has_ended(name, attendant, done))

    def _has_ended(self, name: Name, attendant: Attendant, job: "asyncio.Task[None]") -> None:
        working = self._working.get(name)
        if working is None or working[1] is not job:
            return
        del self._working[name]
        if not job.cancelled():
            job.result()
            self._ended[name] = _light(attendant.queue), attendant.phase
        for other, _ in self._working.values():
            other.nudge()  # it may wait for this one

    def _earlier(self, namespace: str, name: str) -> tuple[QueueKey, Phase] | None:
        if working := self._working.get((namespace, name)):
            return working[0].queue.queue, working[0].phase
        if ended := self._ended.get((namespace, name)):
            return ended[0].queue, ended[1]
        return None


def _light(queue: ParallelQueue) -> ParallelQueue:
    """Without what may be large, and is of no use any more."""
    return queue.model_copy(update={"spec": queue.spec.model_copy(update={"on": [], "inputs": {}})})


def _has_work(queue: ParallelQueue) -> bool:
    """Whether an object whose run has ended waits for us."""
    return queue.metadata.deletion_timestamp is not None and FINALIZER in queue.metadata.finalizers
