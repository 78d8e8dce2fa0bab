"""A task's place in line, of a queue with several partitions."""

from taskfleet.store import keys, reading
from taskfleet.store.connection import Connection
from taskfleet.store.partitions.asking import everywhere
from taskfleet.store.partitions.home import Parts


async def ahead_of(connection: Connection, parts: Parts, task_id: str) -> int | None:
    """What is before it in its partition, and as much of each other one that has so much: claims go round."""
    positions = await everywhere(parts, lambda part: reading.ahead_of(connection, part, task_id))
    place = next((place for place, position in enumerate(positions) if position is not None), None)
    if place is None:
        return None
    own = positions[place] or 0
    (view,) = await reading.get(connection, parts[place], [task_id])
    if view is None:
        return None
    lanes = [f"{view.requested_model}:{priority}" for priority in range(view.priority + 1)]
    counts = await everywhere(parts, lambda part: connection.call("HMGET", keys.key(part, "lanes"), *lanes))
    waiting = [sum(max(0, int(count or 0)) for count in found) for found in counts]
    return own + sum(min(own, number) for other, number in enumerate(waiting) if other != place)
