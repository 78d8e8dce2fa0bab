"""What whoever runs a task tells of it: pieces of its answer, and how far it is."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import orjson

from taskfleet.core.errors import StoreUnreachable
from taskfleet.core.events import Progress, Publication
from taskfleet.core.task import QueueKey
from taskfleet.store import keys, lua
from taskfleet.store.channels import ChannelListener
from taskfleet.store.connection import Connection
from taskfleet.store.followers import AWAY_SECONDS


async def publish(connection: Connection, queue: QueueKey, publications: Sequence[Publication]) -> list[bool]:
    """One script call for all of them."""
    arguments: list[bytes | str | int] = []
    for told in publications:
        about = orjson.dumps(told.about)
        arguments += (told.task_id, told.fence, told.first - 1, about, len(told.chunks), *told.chunks)
    return [answer == 1 for answer in await connection.run(lua.PUBLISH, queue, *arguments)]


async def progress(connection: Connection, queue: QueueKey, task_id: str, fence: int, told: Progress) -> bool:
    data = orjson.dumps({"fraction": told.fraction, "message": told.message})
    return bool(await connection.run(lua.PROGRESS, queue, task_id, fence, data))


async def all_progress(connection: Connection, queue: QueueKey) -> AsyncIterator[dict[str, Progress]]:
    """See ``Store.all_progress``."""
    async with ChannelListener(connection, [queue], lambda queue: keys.key(queue, "progress")) as listener:
        while True:
            try:
                stored = await connection.call("HGETALL", keys.key(queue, "progress"))
            except StoreUnreachable:
                await asyncio.sleep(AWAY_SECONDS)
                continue
            yield {task_id.decode(): _progress(told) for task_id, told in stored.items()}
            await listener.wait(None)


def _progress(stored: bytes) -> Progress:
    _fence, _, told = stored.partition(b":")
    return Progress(**orjson.loads(told))
