"""What is looked up once a moment, not once a request: whoever asks meanwhile waits for the same look."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Fresh(Generic[K, V]):
    """``look`` tells of one key; what it told holds for ``seconds``, what went wrong is not kept."""

    def __init__(self, look: Callable[[K], Awaitable[V]], seconds: float) -> None:
        self._look = look
        self._seconds = seconds
        self._seen: dict[K, tuple[float, asyncio.Future[V]]] = {}
        self._asked_again: set[K] = set()

    async def get(self, key: K) -> V:
        """Raises what ``look`` raises."""
        now = time.monotonic()
        until, looking = self._seen.get(key, (0.0, None))
        if looking is None or now >= until:
            looking = asyncio.ensure_future(self._told(key))
            self._seen[key] = (now + self._seconds, looking)
        else:
            self._asked_again.add(key)
        return await asyncio.shield(looking)

    async def keep(self) -> None:
        """Look anew for ever for what is asked for again and again, before its time is over: so nobody waits for it,
        and no call that asks has to share the store with a look."""
        while True:
            await asyncio.sleep(self._seconds / 2)
            asked, self._asked_again = self._asked_again, set()
            # What goes wrong is told to whoever asks when the time of the old one is over.
            await asyncio.gather(*map(self._renew, asked), return_exceptions=True)

    async def _told(self, key: K) -> V:
        try:
            return await self._look(key)
        except BaseException:
            self._seen.pop(key, None)  # the next one looks again, and keys of nothing are not kept
            raise

    async def _renew(self, key: K) -> None:
        until = time.monotonic() + self._seconds
        looking = asyncio.ensure_future(self._look(key))
        await looking
        self._seen[key] = (until, looking)
