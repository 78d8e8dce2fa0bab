"""Tasks that wait, looked at without claiming them."""

from collections.abc import AsyncIterator

from taskfleet.core.task import QueueKey, WaitingTask
from taskfleet.store import codec, keys, lua
from taskfleet.store.connection import Connection

_AT_ONCE = 20  # with their bodies, which may be large


async def waiting(connection: Connection, queue: QueueKey) -> AsyncIterator[WaitingTask]:
    """By priority, then lane by lane, first come first served; what comes or goes meanwhile may be met or not."""
    names = [name.decode() for name in await connection.call("HKEYS", keys.key(queue, "lanes")) if b":" in name]
    seen: set[bytes] = set()  # an id that was used again stands in its lane twice
    for lane in sorted(names, key=lambda name: int(name.rpartition(":")[2])):
        place, looked_at = 0, _AT_ONCE
        while looked_at == _AT_ONCE:
            looked_at, *found = await connection.run(lua.PEEK, queue, lane, place, _AT_ONCE)
            place += looked_at
            for task_id, record in zip(found[::2], found[1::2], strict=True):
                if task_id not in seen:
                    seen.add(task_id)
                    yield codec.waiting(task_id, record)
