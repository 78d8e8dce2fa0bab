"""Who follows the events of which task: all readers of one store share a connection, opened with the first of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskfleet.store.channels import ChannelListener
from taskfleet.store.connection import Connection

AWAY_SECONDS = 0.5  # before a reader's next look at a store that is away


class Followers:
    """``follow`` a channel; its event is set whenever something may be new there, also after a lost connection."""

    def __init__(self, connection: Connection) -> None:
        self._listener = ChannelListener[str](connection, [], str)
        self._followed: dict[str, list[asyncio.Event]] = {}
        self._waking: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self._changing = asyncio.Lock()

    @asynccontextmanager
    async def follow(self, channel: str) -> AsyncIterator[asyncio.Event]:
        """Inside, nothing that is said on the channel is missed."""
        news = asyncio.Event()
        self._followed.setdefault(channel, []).append(news)
        try:
            await self._listen()
            yield news
        finally:
            self._followed[channel].remove(news)
            if not self._followed[channel]:  # unsubscribed with the next change: a reader that ends waits for nothing
                del self._followed[channel]

    async def close(self) -> None:
        if self._waking is not None:
            self._waking.cancel()
            await asyncio.wait([self._waking])

    async def _listen(self) -> None:
        async with self._changing:
            if self._waking is None:
                self._waking = asyncio.create_task(self._wake(), name="followers of events")
            await self._listening.wait()
            await self._listener.follow(list(self._followed))

    async def _wake(self) -> None:
        async with self._listener:
            self._listening.set()
            while True:
                for channel in await self._listener.wait(None):
                    for news in self._followed.get(channel, ()):
                        news.set()
