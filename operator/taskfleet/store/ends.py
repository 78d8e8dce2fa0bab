"""Hearing of tasks that end, whichever queue they are in: one connection, however many queues there are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

from taskfleet.core.errors import StoreError
from taskfleet.core.task import QueueKey
from taskfleet.store import codec, keys
from taskfleet.store.channels import FIRST_PAUSE, LONGEST_PAUSE
from taskfleet.store.connection import Connection
from taskfleet.store.subscription import Said

Ended = tuple[QueueKey, Mapping[str, bytes | None]]
_ANNOUNCED = keys.ANNOUNCED_EVERYWHERE.rpartition("}")[2]
_PATTERNS = (keys.ENDED_EVERYWHERE.encode(), keys.ANNOUNCED_EVERYWHERE.encode())


async def ends(connection: Connection) -> AsyncIterator[Ended]:
    """See ``Store.ends``."""
    pause = FIRST_PAUSE
    while True:
        said: asyncio.Queue[Said | Exception] = asyncio.Queue()
        # Whoever follows tasks also reads them, and is told there that the store is gone.
        with contextlib.suppress(StoreError), connection.explained():
            async with connection.subscriber(said.put_nowait, said.put_nowait) as subscription:
                subscription.tell("PSUBSCRIBE", *_PATTERNS)
                while True:
                    heard = await said.get()
                    if isinstance(heard, Exception):
                        raise heard
                    pause = FIRST_PAUSE
                    if heard.kind == b"pmessage":
                        channel = heard.channel.decode()
                        yield keys.queue_of(channel), _told(channel, heard.text)
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 2)


def _told(channel: str, text: bytes) -> Mapping[str, bytes | None]:
    if channel.endswith(_ANNOUNCED):
        return dict(codec.announced(text))
    return dict.fromkeys(text.decode().split(" "))
