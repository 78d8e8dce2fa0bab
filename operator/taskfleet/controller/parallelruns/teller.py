"""What is said of one ParallelQueue: its status, and an event for what a person would want to be told."""

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.controller.parallelruns.desk import Desk, StandsStill, Waits
from taskfleet.controller.parallelruns.status import Look, in_words, status_of
from taskfleet.core.errors import TakenOver, TaskfleetError
from taskfleet.core.parallel.phase import Phase
from taskfleet.core.wiretime import wire_time
from taskfleet.parallel.record import Record

log = logging.getLogger(__name__)


class Teller:
    """``queue`` is its newest version. ``count`` hears of an error that is nobody's who wrote it."""

    def __init__(self, queue: ParallelQueue, desk: Desk, count: Callable[[str], None]) -> None:
        self.queue = queue
        self._desk = desk
        self._count = count
        self._status: dict[str, Any] = dict(queue.status)
        self._trouble: tuple[str, str] | None = None  # that was told last

    @property
    def phase(self) -> Phase:
        """As last written."""
        return Phase(self._status.get("phase", Phase.PENDING))

    async def show(self, look: Look) -> None:
        """Write the status, where it is another one now."""
        status = status_of(self.queue, look, self._status, wire_time(time.time()))
        if status != self._status:
            await self._desk.write_status(self.queue, status)
            self._status = status

    async def show_anyhow(self, look: Look) -> None:
        """The same; that it cannot be written stops nothing."""
        try:
            await self.show(look)
        except TaskfleetError as error:
            log.warning("status not written: %s", error, extra=self._about)

    def event(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._desk.event(self.queue, reason, message, warning=warning)

    async def begun(self, record: Record, *, goes_on: bool) -> None:
        """It runs, anew or again."""
        self._trouble = None
        await self.show(Look(record))
        if goes_on:
            self.event("GoesOn", f"the run goes on; {in_words(record)}")
        else:
            most, name = self.queue.spec.max_parallel, self.queue.queue.name
            self.event("Started", f"{in_words(record)}, {most} at once, on the TaskQueue {name}")

    async def ended(self, record: Record) -> None:
        await self.show(Look(record))
        phase = Phase.of(record.state)
        failed = f"; most often: {record.tally.commonest(1)[0][0]}" if record.tally.causes else ""
        why = f"{record.reason}; " if record.reason else ""
        warning = phase is not Phase.COMPLETED or bool(record.tally.causes)
        self.event(phase.value, f"{why}{in_words(record)}{failed}", warning=warning)

    async def trouble(self, error: Exception, record: Record | None) -> bool:
        """Why it stands still, once in an event and then in the status. Whether that is news."""
        if isinstance(error, TakenOver):
            log.info("%s", error, extra=self._about)
            return False
        reason = error.reason if isinstance(error, StandsStill) else type(error).__name__
        foreseen = isinstance(error, TaskfleetError)  # then its sentence says it all
        text = str(error) if foreseen else f"{reason}: {error}; the controller's log says more"
        is_news, self._trouble = (reason, text) != self._trouble, (reason, text)
        if is_news and not isinstance(error, StandsStill):
            self._count("error")
            log.error("%s", text, extra=self._about, exc_info=None if foreseen else error)
        with contextlib.suppress(TaskfleetError):  # the API server may be the trouble
            await self.show(Look(record, (reason, text)))
            if is_news:
                self.event(reason, text, warning=not isinstance(error, Waits))
        return is_news

    @property
    def _about(self) -> dict[str, str]:
        meta = self.queue.metadata
        return {"kind": "ParallelQueue", "object": f"{meta.namespace}/{meta.name}"}
