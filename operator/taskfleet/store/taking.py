"""Claiming certain tasks: what ``take.lua`` takes and says."""

from collections.abc import Sequence

from taskfleet.core.settlement import Taken
from taskfleet.core.task import QueueKey
from taskfleet.store import codec, lua
from taskfleet.store.connection import Connection
from taskfleet.store.incoming import check_name


async def take(connection: Connection, queue: QueueKey, worker: str, ids: Sequence[str]) -> Taken:
    """Lease those of the tasks that wait. See ``Store.take``."""
    version, stopped, now, *rest = await connection.run(lua.TAKE, queue, check_name("worker", worker), *ids)
    end = next(place for place in range(0, len(rest), 2) if not rest[place])
    leased = (codec.leased(rest[place], rest[place + 1], now / 1000) for place in range(0, end, 2))
    return Taken(tuple(leased), frozenset(name.decode() for name in rest[end + 1 :]), version, bool(stopped))
