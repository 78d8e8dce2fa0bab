"""How many runs are driven at once: first come, first served."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

# What one run holds in memory is bounded by its items that are open and by MAX_ITEMS; so this bounds the controller.
RUNS_AT_ONCE = 16


class Slots:
    def __init__(self, number: int = RUNS_AT_ONCE) -> None:
        self._number = number
        self._free = asyncio.Semaphore(number)

    @asynccontextmanager
    async def one(self, waits: Callable[[str], Awaitable[None]]) -> AsyncIterator[None]:
        """For as long as the block. ``waits`` is told when there is none at once, and why."""
        if self._free.locked():
            await waits(f"{self._number} others run, which is as many as run at once; it begins when one of them ends")
        async with self._free:
            yield
