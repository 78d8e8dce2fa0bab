"""Result lines of a run: read while it runs in the order in which items ended, and in that of the items."""

import heapq
from collections.abc import AsyncIterator, Iterable, Iterator

from taskfleet.core.task import QueueKey
from taskfleet.parallel.newest import MOST, Newest
from taskfleet.store import Store


async def lines_in_order(store: Store, queue: QueueKey, name: str) -> AsyncIterator[bytes]:
    """Every line that there is, by index. Holds back what ended before the items in front of it, and no more."""
    order = InOrder()
    async for block in store.runs.lines(queue, name):
        for _, line in order.add(block):
            yield line
    for _, line in order.rest():
        yield line


class InOrder:
    """Lines with their indexes, given out once all that are in front of them have been. ``given``: how many were."""

    def __init__(self) -> None:
        self.given = 0
        self._waiting: list[tuple[int, bytes]] = []

    def add(self, block: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
        for line in block:
            heapq.heappush(self._waiting, (_index_of(line), line))
        while self._waiting and self._waiting[0][0] <= self.given:
            yield self._give()

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """What is left when no more come, whatever is missing in front of it."""
        while self._waiting:
            yield self._give()

    def _give(self) -> tuple[int, bytes]:
        self.given += 1
        return heapq.heappop(self._waiting)


def _index_of(line: bytes) -> int:
    """The index of a line, which begins with it."""
    return int(line[len(b'{"index":') : line.index(b",")])


async def newest_lines(store: Store, queue: QueueKey, name: str) -> Newest[bytes]:
    """The last items that ended; a block has at least one."""
    found: Newest[bytes] = Newest()
    async for block in store.runs.lines(queue, name, -MOST):
        for line in block:
            found.add(line, len(line))
    return found
