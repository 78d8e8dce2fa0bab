"""What all loops of a run have in common, and what a loop is to others."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from taskfleet.core.parallel.machine import Machine
from taskfleet.core.parallel.moves import EndItem, EndRun, Event, Stop
from taskfleet.core.parallel.tally import Tally
from taskfleet.parallel.errands import Errands
from taskfleet.parallel.journal import Journal
from taskfleet.parallel.openitem import OpenItem
from taskfleet.parallel.place import Written
from taskfleet.parallel.timers import Timers

TURN_SECONDS = 0.02  # of work at a stretch, before others have their turn


class ALoop(Protocol):
    """``items`` are the open ones."""

    items: dict[int, OpenItem]
    machine: Machine

    def begin(self, items: dict[int, OpenItem]) -> None: ...

    def handle(self, event: Event) -> None: ...

    async def take(self, most: int) -> None: ...


class Progress(Protocol):
    """How far a loop is: ``cursor`` is behind the last item that was ``taken``."""

    taken: int
    cursor: Any
    total: int | None
    source_ended: bool
    stop: Stop | None


class Owner(Protocol):
    """Whom a loop tells what came of it."""

    def item_ended(self, item: OpenItem, end: EndItem) -> None: ...

    def stopped(self) -> None: ...

    def loop_ended(self, end: EndRun) -> None: ...


@dataclass(slots=True)
class Means:
    """``tally`` counts the steps of all loops; ``hungry`` are those loops that have room for items."""

    nonce: str
    errands: Errands
    journal: Journal
    timers: Timers
    written: Written
    tally: Tally
    events: deque[tuple[ALoop, Event]] = field(default_factory=deque)
    hungry: dict[ALoop, None] = field(default_factory=dict)
