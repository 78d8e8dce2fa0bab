"""Drives one run: hears of tasks that end, has its loops go on, and looks at the time.

What it does at once is in memory; what goes to the store goes through a sender (tasks), a watch (their ends) and a
journal (where the run is). Each is one call for many items, so that a step costs about what a plain task costs.
"""

import asyncio
import contextlib
import time

import orjson

from taskfleet.api.taskreader import TaskReader
from taskfleet.core.errors import SetBack, StoreError, TakenOver
from taskfleet.core.parallel.moves import EndItem, EndRun, Stop
from taskfleet.core.parallel.rules import OnUntil, RunState
from taskfleet.core.task import QueueKey
from taskfleet.parallel.askeduntil import AskedUntil
from taskfleet.parallel.errands import Errands
from taskfleet.parallel.items import Source
from taskfleet.parallel.journal import Journal
from taskfleet.parallel.loop import Loop
from taskfleet.parallel.means import TURN_SECONDS, ALoop, Means
from taskfleet.parallel.openitem import OpenItem
from taskfleet.parallel.place import Written, item_key
from taskfleet.parallel.plan import Plan
from taskfleet.parallel.record import Record
from taskfleet.parallel.timers import Timers
from taskfleet.parallel.until import Until
from taskfleet.store import Store

LEAVE_SECONDS = 5.0
TAKEN_AT_ONCE = 500  # items, before others have their turn


class Driver:
    """One run, from where its record and what was written down of it are. ``run`` once."""

    def __init__(
        self,
        store: Store,
        queue: QueueKey,
        name: str,
        holder: str,
        *,
        plan: Plan,
        record: Record,
        written: Written,
        source: Source,
        reader: TaskReader,
    ) -> None:
        self.record = record
        self._store = store
        self._queue = queue
        self._plan = plan
        self._news = asyncio.Event()
        self._errands = Errands(store, queue, reader, self._news)
        self._journal = Journal(store, queue, name, holder, record, self._news.set)
        deadline = plan.spec.deadline
        self._timers = Timers(record.began + deadline.seconds if deadline is not None else None)
        means = Means(record.nonce, self._errands, self._journal, self._timers, written, record.tally)
        self._means = means
        asks = plan.until is not None and plan.until.asks
        self._until = AskedUntil(plan, record, means, self.stop) if asks else Until(plan, record, self.stop)
        self._end: EndRun | None = None
        outside = dict(plan.inputs) if record.kept is None else {**plan.inputs, "$items": record.kept}
        self._loop = Loop(means, plan, self, record, source, outside)

    @property
    def open(self) -> int:
        """How many items are on their way."""
        return len(self._loop.items)

    @property
    def trouble(self) -> str:
        """Why it does not go on now; "" when it does."""
        return self._errands.trouble or self._journal.trouble

    def stop(self, stop: Stop) -> None:
        """End the run before its items have ended. Before ``run``, or while it runs."""
        self._means.events.append((self._loop, stop))
        self._news.set()

    def add_result(self, line: bytes) -> None:
        """A result of before, for the condition that ends the run."""
        self._until.add(orjson.loads(line), len(line))

    @property
    def wants_results(self) -> bool:
        return self._until.wants_results

    async def run(self, kept_seconds: float) -> None:
        """To the end of the run; its results are kept for so long then. Raises TakenOver, SetBack (then another
        driver goes on from what there is), StoreError, NotFound.

        Who is cancelled leaves the run to be gone on with.
        """
        await self._journal.write()  # before its first task: who goes on with the run must know the ids of those
        errands = self._errands
        helpers = [
            asyncio.create_task(work)
            for work in (errands.watch.run(), errands.sender.run(), self._journal.run(), self._hear())
        ]
        driving = asyncio.create_task(self._drive())
        try:
            await asyncio.wait([driving, *helpers], return_when=asyncio.FIRST_COMPLETED)
            if not driving.done():
                for helper in helpers:
                    if helper.done():
                        helper.result()
            await driving
        finally:
            await _ended([driving, *helpers])
        await self._journal.write(kept_seconds)
        await self._ask_no_more()

    async def leave(self) -> None:
        """Write down where the run is, after it was cancelled. What cannot be written in time is found again, from what
        became of the tasks."""
        with contextlib.suppress(TimeoutError, TakenOver, SetBack):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._journal.write()

    async def _hear(self) -> None:
        async for queue, ends in self._store.ends():
            if queue == self._queue:
                self._errands.watch.heard(ends)

    async def _drive(self) -> None:
        self._begin()
        while self._end is None:
            self._news.clear()
            self._errands.go_on()
            await self._handle_all()
            self._look_at_the_time()
            await self._handle_all()
            for loop in self._hungry():
                await loop.take(TAKEN_AT_ONCE)
            if self._end is None and not (self._means.events or self._errands.heard or self._hungry()):
                await self._something_new()
            else:
                await asyncio.sleep(0)
        self.record.state, self.record.reason = self._end.state, self._end.reason
        self.record.finished = time.time()

    def _hungry(self) -> list[ALoop]:
        """Who has room for items; nobody while results wait to be written down."""
        return [] if self._journal.behind else list(self._means.hungry)

    def _begin(self) -> None:
        entries = self._means.written.items("")
        self._loop.begin({index: OpenItem.from_json(item_key("", index), index, at) for index, at in entries.items()})

    async def _something_new(self) -> None:
        times = [self._until.seconds_to_next_look, self._timers.seconds_to_next]
        wait = min((seconds for seconds in times if seconds is not None), default=None)
        try:
            async with asyncio.timeout(wait):
                await self._news.wait()
        except TimeoutError:
            pass

    async def _handle_all(self) -> None:
        """A template may take long for each item: others have their turn meanwhile."""
        events, turn = self._means.events, time.monotonic() + TURN_SECONDS
        while events:
            loop, event = events.popleft()
            loop.handle(event)
            if time.monotonic() > turn:
                await asyncio.sleep(0)
                turn = time.monotonic() + TURN_SECONDS

    def _look_at_the_time(self) -> None:
        self._timers.ring()
        if self._timers.deadline_has_come():
            words = f"its deadline of {self._plan.spec.deadline} has passed"
            self.stop(Stop(RunState.EXPIRED, words, OnUntil.CANCEL))
        if self._loop.machine.stop is None:
            self._until.look()

    async def _ask_no_more(self) -> None:
        """A question whether the run is to end has no meaning any more."""
        if isinstance(self._until, AskedUntil):
            with contextlib.suppress(StoreError):  # then somebody answers it, and nobody hears it
                await self._store.cancel(self._queue, [self._until.on_its_way])

    # What the loop of the queue tells

    def item_ended(self, item: OpenItem, end: EndItem) -> None:
        line = item.line(end.status, end.reason, time.time())
        packed = orjson.dumps(line)
        self.record.tally.item_ended(end.status, end.reason)
        self._journal.ended(item.key, packed)
        if self._until.wants_results:
            self._until.add(line, len(packed))

    def stopped(self) -> None:
        self._journal.changed()

    def loop_ended(self, end: EndRun) -> None:
        self._end = end


async def _ended(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
