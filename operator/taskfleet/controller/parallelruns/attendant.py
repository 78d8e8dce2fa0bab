"""One ParallelQueue, seen to its end: its run tried until it works, also when somebody deletes it meanwhile."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.controller.parallelruns.inputs import check_earlier
from taskfleet.controller.parallelruns.ownrun import Office, OwnRun
from taskfleet.controller.parallelruns.problems import check
from taskfleet.controller.parallelruns.status import Look
from taskfleet.controller.parallelruns.teller import Teller
from taskfleet.core.errors import NotLeading
from taskfleet.core.names import FINALIZER
from taskfleet.core.parallel.moves import Stop
from taskfleet.core.parallel.phase import Phase
from taskfleet.core.parallel.rules import OnUntil, RunState

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
_DELETED = Stop(RunState.CANCELLED, "its ParallelQueue was deleted", OnUntil.CANCEL)


class Attendant:
    """``run`` it once. ``see`` the newest version of the object; ``nudge`` it when what it may wait for has changed."""

    def __init__(self, queue: ParallelQueue, office: Office) -> None:
        self._queue = queue
        self._office = office
        self._desk = office.desk
        self._teller = Teller(queue, office.desk, office.count)
        self._run = OwnRun(office, self._teller)
        self._news = asyncio.Event()
        self._deleted = asyncio.Event()
        self.see(queue)

    @property
    def queue(self) -> ParallelQueue:
        return self._queue

    @property
    def phase(self) -> Phase:
        """As last written."""
        return self._teller.phase

    def see(self, queue: ParallelQueue) -> None:
        changed = queue.metadata.generation != self._queue.metadata.generation
        self._queue = self._teller.queue = queue
        if queue.metadata.deletion_timestamp is not None:
            self._deleted.set()
            self._run.stop(_DELETED)
        if changed:
            self.nudge()

    def nudge(self) -> None:
        self._news.set()

    async def run(self) -> None:
        """Until nothing is left to be done for it."""
        working = asyncio.create_task(self._tried_until_it_works(self._bring_to_its_end))
        deleted = asyncio.create_task(self._deleted.wait())
        try:
            await asyncio.wait((working, deleted), return_when=asyncio.FIRST_COMPLETED)
            if self._run.is_driven:
                await asyncio.wait((working,))  # it was told to stop, and ends soon
        finally:
            for job in (working, deleted):
                job.cancel()
            await asyncio.wait((working, deleted))
        if self._deleted.is_set():
            await self._tried_until_it_works(self._end_early)

    async def _tried_until_it_works(self, work: Callable[[], Awaitable[None]]) -> None:
        pause = FIRST_PAUSE
        while True:
            self._news.clear()
            try:
                await work()
            except NotLeading:
                await asyncio.Event().wait()  # what is done from now on, others do
            except Exception as error:
                is_news = await self._teller.trouble(error, self._run.record)
                pause = FIRST_PAUSE if is_news else min(2 * pause, LONGEST_PAUSE)
            else:
                self._office.count("ok")
                return
            if self._deleted.is_set() and work == self._bring_to_its_end:
                return  # there is another way to its end now
            await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    async def _bring_to_its_end(self) -> None:
        if not self.phase.is_final:
            check(self._queue.spec)
            check_earlier(self._queue, self._office.earlier)
            async with self._office.slots.one(self._tell_wait):
                await self._run.go_to_its_end()
        if self._run.guarded or FINALIZER in self._queue.metadata.finalizers:
            await self._desk.release(self._queue)

    async def _end_early(self) -> None:
        """It is being deleted: end its run, and let it go. Results so far are kept."""
        if not self.phase.is_final:
            await self._run.end_early()
        await self._desk.release(self._queue)

    async def _tell_wait(self, why: str) -> None:
        await self._teller.show(Look(self._run.record, doing=("Queued", why)))
