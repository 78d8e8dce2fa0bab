"""One loop over items on its way: asks its machine what follows, and has it done. What runs at once is in memory."""

import time
from collections.abc import Iterator
from typing import Any

from taskfleet.core.errors import DatasetError
from taskfleet.core.parallel.machine import Machine
from taskfleet.core.parallel.moves import (
    CancelStep,
    Command,
    EndItem,
    EndRun,
    Event,
    ItemCame,
    Judge,
    Run,
    SourceEnded,
    Take,
)
from taskfleet.parallel.innerloop import InnerLoop
from taskfleet.parallel.items import Fetch, Given, ItemList, Source
from taskfleet.parallel.means import TURN_SECONDS, Means, Owner, Progress
from taskfleet.parallel.openitem import OpenItem
from taskfleet.parallel.place import item_key
from taskfleet.parallel.plan import LoopPlan
from taskfleet.parallel.steps import Steps
from taskfleet.parallel.templates import Names


class Loop:
    """``key`` and ``path`` are where it is and what it is called, "" for that of the queue; ``outside`` are the names
    that its templates know of what is around it."""

    def __init__(
        self,
        means: Means,
        plan: LoopPlan,
        owner: Owner,
        progress: Progress,
        source: Source,
        outside: Names,
        key: str = "",
        path: str = "",
    ) -> None:
        self.items: dict[int, OpenItem] = {}
        self.machine = Machine(plan.rules)
        self._means = means
        self._owner = owner
        self._progress = progress
        self._source = source
        self._on = plan.on
        self._key = key
        self._coming: Iterator[Given] | None = None
        self._room = 0
        self._steps = Steps(self, means, plan, outside, path, self._inside)

    def begin(self, items: dict[int, OpenItem]) -> None:
        """From where its items are."""
        self.items, progress = items, self._progress
        where = {index: item.at for index, item in items.items()}
        self._obey(self.machine.begin(where, progress.taken, source_ended=progress.source_ended, stop=progress.stop))

    def handle(self, event: Event) -> None:
        self._obey(self.machine.handle(event))

    async def take(self, most: int) -> None:
        """Bring items as long as there is room for them, up to a number and for one turn."""
        taken, turn = 0, time.monotonic() + TURN_SECONDS
        while self._room and taken < most and self.machine.stop is None:
            try:
                given = self._next()
            except DatasetError as error:
                self._room = 0
                self.handle(SourceEnded(f"{self._on}: {error}"))
                continue
            if isinstance(given, Fetch):
                await given.bring()
            else:
                self._room = 0  # the machine says anew how much there is
                taken += given is not None
                self.handle(SourceEnded() if given is None else self._came(*given))
            if time.monotonic() > turn:
                break
        if not self._room or self.machine.stop is not None:
            self._means.hungry.pop(self, None)

    def _next(self) -> Given | None:
        if self._coming is None:
            self._coming = self._source.items(self._progress.cursor)
        given = next(self._coming, None)
        if given is None:
            self._progress.source_ended = True
            self._progress.total = self._progress.taken
        return given

    def _came(self, value: Any, cursor: Any) -> ItemCame:
        index = self._progress.taken
        self._progress.taken, self._progress.cursor = index + 1, cursor
        self.items[index] = OpenItem(item_key(self._key, index), index, value, time.time())
        return ItemCame()

    # Commands

    def _obey(self, commands: list[Command]) -> None:
        if self._progress.stop is not self.machine.stop:
            self._progress.stop = self.machine.stop
            self._owner.stopped()
        for command in commands:
            match command:
                case Run(index, at):
                    self._steps.run(index, at)
                case Take(count):
                    self._room = count
                    self._means.hungry[self] = None
                case EndItem(index):
                    self._owner.item_ended(self.items.pop(index), command)
                case Judge(index, at):
                    self._steps.judge(index, at)
                case CancelStep(index, at):
                    self._steps.cancel(index, at)
                case EndRun():
                    self._owner.loop_ended(command)

    def _inside(self, plan: LoopPlan, owner: InnerLoop, source: ItemList, names: Names, key: str, path: str) -> "Loop":
        return Loop(self._means, plan, owner, owner, source, names, key, path)
