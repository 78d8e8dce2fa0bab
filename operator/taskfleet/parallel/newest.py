"""The newest result lines of a run, as many as there is room for in memory. Pure."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 10_000
MOST_BYTES = 32 << 20  # of their JSON


class Newest(Generic[T]):
    """In the order in which they were added. One is kept however long it is."""

    def __init__(self) -> None:
        self._kept: deque[tuple[T, int]] = deque()
        self._bytes = 0

    def add(self, line: T, size: int) -> None:
        """``size``: bytes of its JSON."""
        self._kept.append((line, size))
        self._bytes += size
        while len(self._kept) > MOST or (self._bytes > MOST_BYTES and len(self._kept) > 1):
            _, gone = self._kept.popleft()
            self._bytes -= gone

    def __iter__(self) -> Iterator[T]:
        return (line for line, _ in self._kept)
