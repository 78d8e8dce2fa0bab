"""The run of one ParallelQueue in the store: begun, gone on with to its end, or ended before that."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from taskfleet.controller.parallelruns.desk import Desk, StandsStill, Waits
from taskfleet.controller.parallelruns.inputs import Earlier, of_config_maps, runs_before
from taskfleet.controller.parallelruns.problems import in_spec
from taskfleet.controller.parallelruns.slots import Slots
from taskfleet.controller.parallelruns.status import Look
from taskfleet.controller.parallelruns.teller import Teller
from taskfleet.core.cleanup import to_its_end
from taskfleet.core.errors import DatasetError, InputError, NotFound, TakenOver
from taskfleet.core.parallel.moves import Stop
from taskfleet.core.parallel.phase import Phase
from taskfleet.parallel.coordinator import Coordinator, Order
from taskfleet.parallel.driver import Driver
from taskfleet.parallel.pipelinerun import of_earlier
from taskfleet.parallel.record import Record
from taskfleet.store import Store

# The status of a run that goes on is written no more often than this.
SHOW_SECONDS = 2.0
OTHERS_SECONDS = 15.0  # that a command has to end a run which it took over; then the run is taken back
_LOOK_SECONDS = 0.5
_NO_FOLDER = Path("/nonexistent")  # items are never of a file here
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


class OwnRun:
    """Of the object that ``teller`` tells of. ``record`` is as last seen. ``guarded``: the finalizer was asked for; the
    object may not show it yet."""

    def __init__(self, office: Office, teller: Teller) -> None:
        self.record: Record | None = None
        self.guarded = False
        self._office = office
        self._desk = office.desk
        self._teller = teller
        self._driver: Driver | None = None

    @property
    def is_driven(self) -> bool:
        return self._driver is not None

    @property
    def name(self) -> str:
        return self._teller.queue.metadata.name

    def stop(self, stop: Stop) -> None:
        """Nothing when it is not driven."""
        if self._driver is not None:
            self._driver.stop(stop)

    async def go_to_its_end(self) -> None:
        """Raises StandsStill, TakenOver, SetBack, NotLeading, StoreError."""
        self._desk.may_act()
        store = await self._office.store()
        coordinator = await self._coordinator(store)
        self.record = await self._own_record(coordinator)
        if self.record is None or not self.record.state.is_final:
            await self._desk.ensure_finalizer(self._teller.queue)
            self.guarded = True
            driver = await self._begin_or_go_on(store, coordinator)
            try:
                await self._drive(driver, coordinator.kept_seconds)
            except TakenOver:
                await self._left_to_others(coordinator)
        assert self.record is not None
        await self._teller.ended(self.record)

    async def end_early(self) -> None:
        """Cancel it, if there is one. Raises TakenOver, NotLeading, StoreError."""
        store = await self._office.store()
        with contextlib.suppress(StandsStill):  # no TaskQueue, or a run of somebody else: then there is none of ours
            coordinator = await self._coordinator(store)
            record = await self._own_record(coordinator)
            if record is not None and not record.state.is_final:
                self._desk.may_act()
                driver = await coordinator.cancel(self.name)
                record = self.record = driver.record
                await self._drive(driver, coordinator.kept_seconds)
            if record is not None:
                await self._teller.ended(record)

    async def _left_to_others(self, coordinator: Coordinator) -> None:
        """To a `taskfleet parallel cancel`, say, until it has ended the run. Raises TakenOver when it does not."""
        for _ in range(round(OTHERS_SECONDS / _LOOK_SECONDS)):
            self.record = await self._own_record(coordinator)
            if self.record is not None and self.record.state.is_final:
                return
            await asyncio.sleep(_LOOK_SECONDS)
        raise TakenOver(self.name)

    async def _coordinator(self, store: Store) -> Coordinator:
        try:
            return await Coordinator.open(store, self._teller.queue.queue)
        except NotFound as error:
            raise Waits("QueueNotFound", f"spec.queueRef: {error}") from None

    async def _own_record(self, coordinator: Coordinator) -> Record | None:
        """What there is of the run of this very object. One of an object of its name that has gone is forgotten."""
        name = self.name
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
        spec, record = self._teller.queue.spec.of_run(), self.record
        if record is None:
            if self._teller.phase is Phase.RUNNING:
                self._teller.event("RunLost", "the store has lost the run; it begins anew", warning=True)
            await self._teller.show(_LOOKS_FOR_ITEMS)
            inputs = {**spec.inputs, **await of_config_maps(self._teller.queue, self._desk)}
        else:  # with what it began with
            spec, inputs = record.read_spec(), record.inputs
        before = await runs_before(self._teller.queue, self._office.earlier, store)
        self._desk.may_act()
        try:
            known, source = await of_earlier(store, spec, before)
            order = Order(self.name, spec, inputs, _NO_FOLDER, known, source, self._nonce, in_spec)
            driver = await coordinator.driver(order)
        except (InputError, DatasetError) as error:
            raise StandsStill("InvalidSpec", str(error)) from None
        self.record = driver.record
        await self._teller.begun(driver.record, goes_on=record is not None)
        return driver

    async def _drive(self, driver: Driver, kept_seconds: float) -> None:
        self._driver = driver
        showing = asyncio.create_task(self._show(driver))
        try:
            await driver.run(kept_seconds)
        except asyncio.CancelledError:
            await to_its_end(driver.leave())
            raise
        finally:
            self._driver = None
            showing.cancel()
            await asyncio.wait((showing,))

    @property
    def _nonce(self) -> str:
        return (self._teller.queue.metadata.uid or "").replace("-", "")

    async def _show(self, driver: Driver) -> None:
        """Its progress, for ever."""
        while True:
            await asyncio.sleep(SHOW_SECONDS)
            trouble = ("Waiting", driver.trouble) if driver.trouble else None
            await self._teller.show_anyhow(Look(driver.record, trouble))
            self._office.count("ok")  # a look, as at other kinds: else one error would be all there is
