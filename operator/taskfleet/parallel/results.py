"""Result lines of a run: read while it runs in the order in which items ended, and in that of the items."""

import heapq
from collections.abc import AsyncIterator
from typing import Any

import orjson

from taskfleet.core.task import QueueKey
from taskfleet.parallel.until import MAX_RESULTS
from taskfleet.store import Store


async def lines_in_order(store: Store, queue: QueueKey, name: str) -> AsyncIterator[bytes]:
    """Every line that there is, by index. Holds back what ended before the items in front of it, and no more."""
    waiting: list[tuple[int, bytes]] = []
    next_index = 0
    async for block in store.runs.lines(queue, name):
        for line in block:
            heapq.heappush(waiting, (index_of(line), line))
        while waiting and waiting[0][0] <= next_index:
            yield heapq.heappop(waiting)[1]
            next_index += 1
    while waiting:
        yield heapq.heappop(waiting)[1]


def index_of(line: bytes) -> int:
    """The index of a line, which begins with it."""
    return int(line[len(b'{"index":') : line.index(b",")])


async def newest_lines(store: Store, queue: QueueKey, name: str, most: int = MAX_RESULTS) -> list[dict[str, Any]]:
    """The last items that ended; a block has at least one."""
    found: list[bytes] = []
    async for block in store.runs.lines(queue, name, -most):
        found += block
    return [orjson.loads(line) for line in found[-most:]]
