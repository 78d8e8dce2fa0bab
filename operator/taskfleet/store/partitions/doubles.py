"""Ids that a queue holds already. A partition knows its own; only of another can a task of a session have the same."""

from collections.abc import Mapping, Sequence

from taskfleet.core.task import QueueKey
from taskfleet.store import keys, reading
from taskfleet.store.connection import Connection
from taskfleet.store.partitions.asking import together
from taskfleet.store.partitions.home import Parts
from taskfleet.store.submission import accept


async def elsewhere(connection: Connection, parts: Parts, places: Mapping[str, int]) -> list[str]:
    """Those of the ids that are in another partition than their place. Errors: StoreError when one of them belongs to a
    submission that has not ended."""
    asked = [(part, [name for name, own in places.items() if own != place]) for place, part in enumerate(parts)]
    found = await together(_those_in(connection, part, ids) for part, ids in asked if ids)
    return [name for names in found for name in names]


async def at_home(connection: Connection, parts: Parts, places: Mapping[str, int]) -> list[str]:
    """Those of the ids that are in their place."""
    asked = [(part, [name for name, own in places.items() if own == place]) for place, part in enumerate(parts)]
    views = await together(reading.get(connection, part, ids) for part, ids in asked if ids)
    return [view.id for found in views for view in found if view is not None]


async def _those_in(connection: Connection, part: QueueKey, ids: Sequence[str]) -> list[str]:
    if not await connection.call("EXISTS", *(keys.task(part, name) for name in ids)):
        return []
    seen = {view.id for view in await reading.get(connection, part, ids) if view is not None}
    for name in ids:
        if name not in seen and await connection.call("EXISTS", keys.task(part, name)):
            accept(part, [b"staged", name.encode()])
    return sorted(seen)
