"""Tasks that wait, looked at without claiming them."""

from collections.abc import AsyncIterator

from taskfleet.core.task import QueueKey, WaitingTask
from taskfleet.store import codec, keys, lua
from taskfleet.store.connection import Connection

_AT_ONCE = 20  # with their bodies, which may be large
_BLOCKED = b"="  # begins the name of what waits behind its session: no claim brings that


async def waiting(connection: Connection, queue: QueueKey) -> AsyncIterator[WaitingTask]:
    """By priority, then lane by lane and tenant by tenant; what comes or goes meanwhile may be met or not."""
    names = await connection.call("HKEYS", keys.key(queue, "lanes"))
    lanes = [name.decode() for name in names if b":" in name and not name.startswith(_BLOCKED)]
    seen: set[bytes] = set()  # an id that was used again stands in its lane twice
    for lane in sorted(lanes, key=lambda name: int(name.rpartition(":")[2])):
        tenant, is_there = 0, 1
        while is_there:
            place = 0
            while place >= 0:
                is_there, place, *found = await connection.run(lua.PEEK, queue, lane, tenant, place, _AT_ONCE)
                for task_id, record in zip(found[::2], found[1::2], strict=True):
                    if task_id not in seen:
                        seen.add(task_id)
                        yield codec.waiting(task_id, record)
            tenant += 1
