"""The input order of batches whose tasks are in several partitions: a list of ids in the first of them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from taskfleet.core.task import TaskView
from taskfleet.store import keys, lua
from taskfleet.store.connection import Connection
from taskfleet.store.partitions.asking import everywhere
from taskfleet.store.partitions.home import Parts
from taskfleet.store.reading import place_after

_AT_ONCE = 200
_LOOKS = 10


async def in_order(
    connection: Connection,
    parts: Parts,
    name: str,
    after: str,
    get: Callable[[Sequence[str]], Awaitable[Sequence[TaskView | None]]],
) -> AsyncIterator[TaskView]:
    """Tasks of a batch in input order; those that retention has taken away are left out."""
    order = keys.batch_order(parts[0], name)
    at = await place_after(connection, order, after)
    while True:
        ids = await connection.call("LRANGE", order, at, at + _AT_ONCE - 1)
        for view in await get([task_id.decode() for task_id in ids]):
            if view is not None and view.batch == name:  # an older task may stand for one of its id
                yield view
        if len(ids) < _AT_ONCE:
            return
        at += _AT_ONCE


async def forget_orders(connection: Connection, parts: Parts) -> None:
    """Forget the order of batches of which nothing is left in any partition; a few of them at a time."""
    stored = keys.key(parts[0], "orders")
    found = await connection.call("ZRANGE", stored, 0, _LOOKS - 1, "WITHSCORES")
    for name, looked_at in zip(found[::2], found[1::2], strict=True):
        if await _is_known(connection, parts, name.decode()):
            seconds, _ = await connection.call("TIME")
            await connection.call("ZADD", stored, "XX", int(seconds) * 1000, name)
        else:
            await connection.run(lua.FORGET_ORDER, parts[0], name, looked_at)


async def _is_known(connection: Connection, parts: Parts, name: str) -> bool:
    return any(await everywhere(parts, lambda part: connection.call("EXISTS", keys.batch(part, name))))
