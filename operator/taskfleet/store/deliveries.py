"""What is to be delivered of a queue to receivers outside: which tasks ended, kept until somebody has told it, and what
waits for its delivery. Nothing of it is lost with whoever works on it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from taskfleet.core.task import QueueKey
from taskfleet.store import lua
from taskfleet.store.connection import Connection

KEPT_SECONDS = 4 * 24 * 3600.0  # longer than a delivery is tried
_HEARD_AT_ONCE = 100  # entries, of the ends of one step each
Places = Callable[[QueueKey], Awaitable[Sequence[QueueKey]]]


@dataclass(frozen=True, slots=True)
class Ended:
    """Tasks that ended at once. ``place`` and ``entry``: where that is kept."""

    place: QueueKey
    entry: bytes
    ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for a receiver. ``id`` says what it is about: the same again is no second one."""

    receiver: str
    id: str
    document: Mapping[str, Any]


class Deliveries:
    """``places``: where a queue is."""

    def __init__(self, connection: Connection, places: Places) -> None:
        self._connection = connection
        self._places = places

    async def ended(self, queue: QueueKey, keep_seconds: float) -> list[Ended]:
        """What ended since it was first asked for, and was not told yet; it is kept for so long after the last time."""
        found: list[Ended] = []
        for place in await self._places(queue):
            ms = round(keep_seconds * 1000)
            for entry, fields in await self._connection.run(lua.HEAR_ENDS, place, ms, _HEARD_AT_ONCE):
                found.append(Ended(place, entry, fields[1].decode().split()))
        return found

    async def told(self, ended: Ended, deliveries: Sequence[Delivery]) -> bool:
        """Have these delivered for what ended; False when somebody else has. Both at once or neither."""
        return bool(await self._deliver(ended.place, ended.entry, deliveries))

    async def add(self, queue: QueueKey, deliveries: Sequence[Delivery]) -> None:
        """Have these delivered; those that wait already stay as they are."""
        await self._deliver((await self._places(queue))[0], b"", deliveries)

    async def take(self, queue: QueueKey, receiver: str, count: int, seconds: float) -> list[tuple[QueueKey, Delivery]]:
        """Up to ``count`` that are due, and where they are. They are due again after so long, unless ``done`` or
        ``put_off`` come first."""
        found: list[tuple[QueueKey, Delivery]] = []
        for place in await self._places(queue):
            if len(found) == count:
                break
            reply = await self._connection.run(lua.TAKE_DUE, place, receiver, count - len(found), round(seconds * 1000))
            for name, document in zip(reply[::2], reply[1::2], strict=True):
                found.append((place, Delivery(receiver, name.decode(), orjson.loads(document or b"{}"))))
        return found

    async def done(self, place: QueueKey, delivery: Delivery) -> None:
        await self._connection.run(lua.DELIVERED, place, delivery.receiver, delivery.id, "")

    async def put_off(self, place: QueueKey, delivery: Delivery, seconds: float) -> None:
        """Try it again after so long, with its document as it is now."""
        document = orjson.dumps(delivery.document)
        await self._connection.run(
            lua.DELIVERED, place, delivery.receiver, delivery.id, round(seconds * 1000), document
        )

    async def _deliver(self, place: QueueKey, entry: bytes, deliveries: Sequence[Delivery]) -> Any:
        flat = [part for each in deliveries for part in (each.receiver, each.id, orjson.dumps(each.document))]
        return await self._connection.run(lua.DELIVER, place, entry, round(KEPT_SECONDS * 1000), *flat)
