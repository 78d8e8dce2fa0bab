"""Hearing of tasks that end, whichever queue they are in: one connection, however many queues there are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from taskfleet.core.errors import StoreError
from taskfleet.core.task import QueueKey
from taskfleet.store import keys
from taskfleet.store.channels import FIRST_PAUSE, LONGEST_PAUSE, messages
from taskfleet.store.connection import Connection

Ended = tuple[QueueKey, list[str]]


async def ends(connection: Connection) -> AsyncIterator[Ended]:
    """See ``Store.ends``."""
    pause = FIRST_PAUSE
    while True:
        # Whoever follows tasks also reads them, and is told there that the store is gone.
        with contextlib.suppress(StoreError), connection.explained():
            async with connection.subscriber() as pubsub:
                await pubsub.psubscribe(keys.ENDED_EVERYWHERE)
                async for message in messages(pubsub, connection.timeout):
                    pause = FIRST_PAUSE
                    if message["type"] == "pmessage":
                        yield keys.queue_of(message["channel"].decode()), message["data"].decode().split(" ")
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 2)
