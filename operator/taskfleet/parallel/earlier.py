"""What a queue before this one came to: its counts for templates, and its results, which may be many, one by one."""

import asyncio
import re
from collections import deque
from collections.abc import Collection, Iterator
from typing import Any

import orjson

from taskfleet.core.errors import DatasetError, StoreError
from taskfleet.core.parallel.rules import ItemStatus
from taskfleet.core.task import QueueKey
from taskfleet.parallel.items import Fetch, Given
from taskfleet.parallel.record import Record
from taskfleet.parallel.results import InOrder
from taskfleet.store import Store

_ALL_OF_ONE = re.compile(r"\s*\{\{\s*(\w+)\.(results|outputs)\s*\}\}\s*")
_BLOCKS_AT_ONCE = 16
_TROUBLE_SECONDS = 0.5


def streamed(on: Any, earlier: Collection[str]) -> tuple[str, bool] | None:
    """The queue whose results ``on`` is, all of them and nothing else, and whether it is their outputs. Then they are
    read as they are wanted, however many they are."""
    found = _ALL_OF_ONE.fullmatch(on) if isinstance(on, str) else None
    return (found[1], found[2] == "outputs") if found and found[1] in earlier else None


def last_step(record: Record) -> str:
    name: str = record.spec["actionLoop"][-1]["name"]
    return name


class EarlierResults:
    """A source: the result lines of a run that has ended in the order of its items, or else, of those that completed,
    what their last step answered (``outputs``). A cursor is the number of lines before it."""

    def __init__(self, store: Store, queue: QueueKey, run: str, record: Record, *, outputs: bool) -> None:
        tally = record.tally
        self.total: int | None = tally.items[ItemStatus.COMPLETED] if outputs else tally.done
        self._count = tally.done
        self._last_step = last_step(record) if outputs else None
        self._store = store
        self._queue = queue
        self._run = run
        self._block = 0
        self._order = InOrder()
        self._ready: deque[tuple[int, bytes]] = deque()
        self._ended = False

    def items(self, cursor: Any) -> Iterator[Given]:
        while True:
            while self._ready:
                index, line = self._ready.popleft()
                if index < (cursor or 0):
                    continue
                result = orjson.loads(line)
                if self._last_step is None:
                    yield result, index + 1
                elif result["status"] == ItemStatus.COMPLETED:
                    yield result["steps"][self._last_step]["output"], index + 1
            if self._ended:
                if self._order.given < self._count:
                    raise DatasetError(f"the results of {self._run} are no longer kept; run it again")
                return
            yield Fetch(self._bring)

    async def _bring(self) -> None:
        try:
            blocks = await self._store.runs.blocks(self._queue, self._run, self._block, _BLOCKS_AT_ONCE)
        except StoreError:  # the journal says so as well
            await asyncio.sleep(_TROUBLE_SECONDS)
            return
        self._block += len(blocks)
        for block in blocks:
            self._ready.extend(self._order.add(block))
        self._ended = not blocks
        if self._ended:
            self._ready.extend(self._order.rest())

    def fingerprint(self) -> Any:
        return self._run
