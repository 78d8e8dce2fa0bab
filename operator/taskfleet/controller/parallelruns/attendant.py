"""One ParallelQueue, brought from where it is to its end: begun, gone on with, or ended since somebody deletes it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.controller.parallelruns.desk import Desk, StandsStill
from taskfleet.controller.parallelruns.inputs import Earlier, check_earlier, of_config_maps, runs_before
from taskfleet.controller.parallelruns.problems import check, in_spec
from taskfleet.controller.parallelruns.slots import Slots
from taskfleet.controller.parallelruns.status import Look
from taskfleet.controller.parallelruns.teller import Teller
from taskfleet.core.cleanup import to_its_end
from taskfleet.core.errors import DatasetError, InputError, NotFound, NotLeading, TakenOver
from taskfleet.core.names import FINALIZER
from taskfleet.core.parallel.moves import Stop
from taskfleet.core.parallel.phase import Phase
from taskfleet.core.parallel.rules import OnUntil, RunState
from taskfleet.parallel.coordinator import Coordinator, Order
from taskfleet.parallel.driver import Driver
from taskfleet.parallel.pipelinerun import of_earlier
from taskfleet.parallel.record import Record
from taskfleet.store import Store

# The status of a run that goes on is written no more often than this.
SHOW_SECONDS = 2.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
LEAVE_SECONDS = 5.0
OTHERS_SECONDS = 15.0  # that a command has to end a run which it took over; then the run is taken back
_NO_FOLDER = Path("/nonexistent")  # items are never of a file here
_DELETED = Stop(RunState.CANCELLED, "its ParallelQueue was deleted", OnUntil.CANCEL)
_LOOKS_FOR_ITEMS = Look(doing=("Starting", "its items are being found"))


@dataclass(frozen=True, slots=True)
class Office:
    """What the attendants share. ``store`` connects when it has to, and raises StoreError. ``count`` counts what came
    of a try: ok or error."""

    desk: Desk
    slots: Slots
    store: Callable[[], Awaitable[Store]]
    earlier: Earlier
    count: Callable[[str], None]


class Attendant:
    """``run`` it once. ``see`` the newest version of the object; ``nudge`` it when what it may wait for has changed."""

    def __init__(self, queue: ParallelQueue, office: Office) -> None:
        self._queue = queue
        self._office = office
        self._desk = office.desk
        self._teller = Teller(queue, office.desk, office.count)
        self._record: Record | None = None
        self._driver: Driver | None = None
        self._guarded = False  # the finalizer was asked for; the object may not show it yet
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
            if self._driver is not None:
                self._driver.stop(_DELETED)
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
            if self._driver is not None:
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
                is_news = await self._teller.trouble(error, self._record)
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

    # The way of a run

    async def _bring_to_its_end(self) -> None:
        if not self.phase.is_final:
            check(self._queue.spec)
            check_earlier(self._queue, self._office.earlier)
            async with self._office.slots.one(self._tell_wait):
                await self._run_it()
        if self._guarded or FINALIZER in self._queue.metadata.finalizers:
            await self._desk.release(self._queue)

    async def _run_it(self) -> None:
        self._desk.may_act()
        store = await self._office.store()
        coordinator = await self._coordinator(store)
        self._record = await self._own_record(coordinator)
        if self._record is None or not self._record.state.is_final:
            await self._desk.ensure_finalizer(self._queue)
            self._guarded = True
            driver = await self._begin_or_go_on(store, coordinator)
            try:
                await self._drive(driver, coordinator.kept_seconds)
            except TakenOver:
                await self._left_to_others(coordinator)
        assert self._record is not None
        await self._teller.ended(self._record)

    async def _left_to_others(self, coordinator: Coordinator) -> None:
        """To a `taskfleet parallel cancel`, say, until it has ended the run. Raises TakenOver when it does not."""
        for _ in range(round(OTHERS_SECONDS / FIRST_PAUSE)):
            self._record = await self._own_record(coordinator)
            if self._record is not None and self._record.state.is_final:
                return
            await asyncio.sleep(FIRST_PAUSE)
        raise TakenOver(self._queue.metadata.name)

    async def _coordinator(self, store: Store) -> Coordinator:
        try:
            return await Coordinator.open(store, self._queue.queue)
        except NotFound as error:
            raise StandsStill("QueueNotFound", f"spec.queueRef: {error}") from None

    async def _own_record(self, coordinator: Coordinator) -> Record | None:
        """What there is of the run of this very object. One of an object of its name that has gone is forgotten."""
        name = self._queue.metadata.name
        record = await coordinator.record(name)
        if record is None or record.nonce == self._nonce:
            return record
        if not record.state.is_final:
            text = f"a run {name} of something else has not ended; `taskfleet parallel cancel {name}` ends it"
            raise StandsStill("NameTaken", text)
        self._desk.may_act()
        await coordinator.forget(name)
        return None

    async def _begin_or_go_on(self, store: Store, coordinator: Coordinator) -> Driver:
        spec, record = self._queue.spec.of_run(), self._record
        if record is None:
            if self.phase is Phase.RUNNING:
                self._teller.event("RunLost", "the store has lost the run; it begins anew", warning=True)
            await self._teller.show(_LOOKS_FOR_ITEMS)
            inputs = {**spec.inputs, **await of_config_maps(self._queue, self._desk)}
        else:  # with what it began with
            spec, inputs = record.read_spec(), record.inputs
        before = await runs_before(self._queue, self._office.earlier, store)
        self._desk.may_act()
        try:
            known, source = await of_earlier(store, spec, before)
            order = Order(self._queue.metadata.name, spec, inputs, _NO_FOLDER, known, source, self._nonce)
            driver = await coordinator.driver(order)
        except (InputError, DatasetError) as error:
            raise StandsStill("InvalidSpec", in_spec(str(error))) from None
        self._record = driver.record
        await self._teller.begun(driver.record, goes_on=record is not None)
        return driver

    async def _drive(self, driver: Driver, kept_seconds: float) -> None:
        self._driver = driver
        showing = asyncio.create_task(self._show(driver))
        try:
            await driver.run(kept_seconds)
        except asyncio.CancelledError:
            await to_its_end(_leave(driver))
            raise
        finally:
            self._driver = None
            showing.cancel()
            await asyncio.wait((showing,))

    async def _end_early(self) -> None:
        """It is being deleted: end its run, if there is one, and let it go. Results so far are kept."""
        if not self.phase.is_final:
            store = await self._office.store()
            with contextlib.suppress(
                StandsStill
            ):  # no TaskQueue, or a run of somebody else: then there is none of ours
                coordinator = await self._coordinator(store)
                record = await self._own_record(coordinator)
                if record is not None and not record.state.is_final:
                    self._desk.may_act()
                    driver = await coordinator.cancel(self._queue.metadata.name)
                    record = self._record = driver.record
                    await self._drive(driver, coordinator.kept_seconds)
                if record is not None:
                    await self._teller.ended(record)
        await self._desk.release(self._queue)

    @property
    def _nonce(self) -> str:
        return (self._queue.metadata.uid or "").replace("-", "")

    async def _show(self, driver: Driver) -> None:
        """Its progress, for ever."""
        while True:
            await asyncio.sleep(SHOW_SECONDS)
            trouble = ("Waiting", driver.trouble) if driver.trouble else None
            await self._teller.show_anyhow(Look(driver.record, trouble))
            self._office.count(
                "ok"
            )  # a look, as those at other kinds are counted: else one error would be all there is

    async def _tell_wait(self, why: str) -> None:
        await self._teller.show(Look(self._record, doing=("Queued", why)))


async def _leave(driver: Driver) -> None:
    """What cannot be written down in time is found again, from what became of the tasks."""
    with contextlib.suppress(TimeoutError, TakenOver):
        async with asyncio.timeout(LEAVE_SECONDS):
            await driver.leave()
