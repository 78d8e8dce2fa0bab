"""Writes down where a run is, behind its back: what happened since the last time goes into the store as one change.

A coordinator that dies loses what was not written, and nothing else comes of that: the tasks of the steps have ids of
their own, so that the next one submits the same again and finds what became of them.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from taskfleet.core.errors import SetBack, StoreError, TakenOver
from taskfleet.core.task import QueueKey
from taskfleet.parallel.record import Record
from taskfleet.store import Store
from taskfleet.store.runs import KEPT_SECONDS, RunChange

PAUSE_SECONDS = 0.05
TROUBLE_SECONDS = 1.0
LOOK_SECONDS = 1.0
# Whoever was taken over, and does not know it yet, may submit a step once more: its task must still be there.
FORGET_AFTER_SECONDS = 30.0
_FORGET_AT_ONCE = 1000
_MOST_BEHIND, _MOST_BYTES_BEHIND = 5000, 32 << 20  # of result lines


class Entry(Protocol):
    def to_json(self) -> Any: ...


class Journal:
    """Of one run; ``trouble`` says why nothing can be written now. ``written`` is called after each time. Keep ``run``
    running."""

    def __init__(
        self, store: Store, queue: QueueKey, name: str, holder: str, record: Record, written: Callable[[], None]
    ) -> None:
        self.trouble = ""
        self._tell_written = written
        self._store = store
        self._queue = queue
        self._name = name
        self._holder = holder
        self._record = record
        self._moved: dict[str, Entry] = {}
        self._gone: set[str] = set()
        self._lines: list[bytes] = []
        self._bytes = 0  # of these
        self._used: list[str] = []
        self._change: RunChange | None = None  # on its way
        self._on_its_way: list[str] = []
        self._number = 0
        self._to_forget: deque[tuple[float, str]] = deque()
        self._dirty = asyncio.Event()

    @property
    def behind(self) -> bool:
        """So much is to be written that no more should be begun."""
        return len(self._lines) > _MOST_BEHIND or self._bytes > _MOST_BYTES_BEHIND

    def moved(self, key: str, entry: Entry) -> None:
        """Something that is open is otherwise than before. It is read when it is written down."""
        self._moved[key] = entry
        self._dirty.set()

    def gone(self, key: str) -> None:
        """It is open no more."""
        self._moved.pop(key, None)
        self._gone.add(key)
        self._dirty.set()

    def ended(self, key: str, line: bytes) -> None:
        """An item of the queue has ended, with this result."""
        self._lines.append(line)
        self._bytes += len(line)
        self.gone(key)

    def used(self, task_ids: list[str]) -> None:
        """These tasks have told all that they had to tell, to what was written before."""
        self._used += task_ids
        self._dirty.set()

    def changed(self) -> None:
        """Something of the record is otherwise."""
        self._dirty.set()

    async def run(self) -> None:
        """Write whenever there is something to be written. Raises TakenOver, SetBack."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._dirty.wait()
            except TimeoutError:
                await self._look()
                continue
            await self.write()
            await self._forget()
            await asyncio.sleep(PAUSE_SECONDS)

    async def write(self, kept_seconds: float = KEPT_SECONDS) -> None:
        """Write what there is, as soon as the store can be reached. Raises TakenOver, SetBack. What was on its way when
        an earlier call was cancelled is written first."""
        if self._change is not None:
            await self._commit(self._change, kept_seconds)
        opened = {key: entry.to_json() for key, entry in self._moved.items()}
        self._number += 1
        fields = self._record.moving() | (self._record.fixed() if self._number == 1 else {})
        change = self._change = RunChange(self._number, fields, opened, self._gone, self._lines)
        self._on_its_way, self._used = self._used, []
        self._moved, self._gone, self._lines, self._bytes = {}, set(), [], 0
        self._dirty.clear()
        await self._commit(change, kept_seconds)

    async def _commit(self, change: RunChange, kept_seconds: float) -> None:
        while True:
            try:
                written = await self._store.runs.commit(self._queue, self._name, self._holder, change, kept_seconds)
                ours = written or await self._store.runs.holds(self._queue, self._name, self._holder)
                break
            except StoreError as error:
                self.trouble = str(error)
                await asyncio.sleep(TROUBLE_SECONDS)
        self.trouble = ""
        if not written:
            raise SetBack(self._name) if ours else TakenOver(self._name)
        self._change = None
        due = time.monotonic() + FORGET_AFTER_SECONDS
        self._to_forget.extend((due, task_id) for task_id in self._on_its_way)
        self._tell_written()

    async def _look(self) -> None:
        try:
            if not await self._store.runs.holds(self._queue, self._name, self._holder):
                raise TakenOver(self._name)
        except StoreError as error:
            self.trouble = str(error)

    async def _forget(self) -> None:
        """Tasks that told all they had to tell need no room in the store. Some of them: what is to be written waits."""
        ids: list[str] = []
        while self._to_forget and self._to_forget[0][0] < time.monotonic() and len(ids) < _FORGET_AT_ONCE:
            ids.append(self._to_forget.popleft()[1])
        try:
            if ids:
                await self._store.forget(self._queue, ids)
        except StoreError as error:  # then their retention takes them
            self.trouble = str(error)
