"""What is looked up once a moment, not once a request: whoever asks meanwhile waits for the same look."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from taskfleet.core.errors import TaskfleetError

K = TypeVar("K")
V = TypeVar("V")


class Fresh(Generic[K, V]):
    """``look`` tells of one key; what it told holds for ``seconds``, what went wrong is not kept.

    ``ahead``: what is asked for in the second half of that time is looked up anew meanwhile, so that whoever asks again
    and again never waits.
    """

    def __init__(self, look: Callable[[K], Awaitable[V]], seconds: float, *, ahead: bool = False) -> None:
        self._look = look
        self._seconds = seconds
        self._ahead = ahead
        self._seen: dict[K, tuple[float, asyncio.Future[V]]] = {}
        self._renewals: dict[K, asyncio.Task[None]] = {}

    async def get(self, key: K) -> V:
        """Raises what ``look`` raises."""
        now = time.monotonic()
        until, looking = self._seen.get(key, (0.0, None))
        if looking is None or now >= until:
            looking = asyncio.ensure_future(self._told(key))
            self._seen[key] = (now + self._seconds, looking)
        elif self._ahead and looking.done() and now >= until - self._seconds / 2 and key not in self._renewals:
            self._renewals[key] = asyncio.create_task(self._renew(key, now + self._seconds))
        return await asyncio.shield(looking)

    async def _told(self, key: K) -> V:
        try:
            return await self._look(key)
        except BaseException:
            self._seen.pop(key, None)  # the next one looks again, and keys of nothing are not kept
            raise

    async def _renew(self, key: K, until: float) -> None:
        looking = asyncio.ensure_future(self._look(key))
        try:
            with contextlib.suppress(TaskfleetError):  # whoever asks when the old one is over is told
                await looking
                self._seen[key] = (until, looking)
        finally:
            del self._renewals[key]
