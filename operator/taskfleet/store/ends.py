"""Hearing of tasks that end, whichever queue they are in: one connection, however many queues there are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from valkey.asyncio.client import PubSub

from taskfleet.core.errors import StoreError
from taskfleet.core.task import QueueKey
from taskfleet.store import keys
from taskfleet.store.connection import Connection

Ended = tuple[QueueKey, list[str]]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


async def ends(connection: Connection) -> AsyncIterator[Ended]:
    """See ``Store.ends``."""
    pause = _FIRST_PAUSE
    while True:
        # Whoever follows tasks also reads them, and is told there that the store is gone.
        with contextlib.suppress(StoreError), connection.explained():
            async with connection.subscriber() as pubsub:
                await pubsub.psubscribe(keys.ENDED_EVERYWHERE)
                async for ended in _told(pubsub, connection.timeout):
                    pause = _FIRST_PAUSE
                    yield ended
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE, pause * 2)


async def _told(pubsub: PubSub, patience: float) -> AsyncIterator[Ended]:
    asked = False
    while True:
        message = await pubsub.get_message(timeout=patience)
        if message is None:
            if asked:
                raise TimeoutError  # no answer to our ping: the line is dead, though nobody said so
            await pubsub.ping()
        asked = message is None
        if message is not None and message["type"] == "pmessage":
            yield keys.queue_of(message["channel"].decode()), message["data"].decode().split(" ")
