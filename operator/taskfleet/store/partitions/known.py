"""How many partitions a queue has, as its policy in the store says."""

import time
from dataclasses import dataclass

from taskfleet.core.settlement import QueuePolicy
from taskfleet.core.task import QueueKey
from taskfleet.store import codec, keys
from taskfleet.store.connection import Connection
from taskfleet.store.partitions.home import Parts, parts_of

# A queue keeps its number for life. One that was deleted and made anew with another one is found after this: until then
# its old places hold nothing, so that it seems not to exist, and nothing can come to a wrong place.
_KNOWN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Spread:
    """``has_sessions``: whether tasks of sessions were ever submitted to it, which are not where their ids say."""

    parts: Parts
    has_sessions: bool
    read_at: float


class Spreads:
    """The spread of each queue that was asked for, read once in a while."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[QueueKey, Spread] = {}

    async def of(self, queue: QueueKey) -> Spread:
        """A queue that does not exist counts as one with one partition: whoever is asked there knows that."""
        known = self._known.get(queue)
        if known is None or time.monotonic() - known.read_at > _KNOWN_SECONDS:
            known = await self._read(queue)
        return known

    async def number(self, queue: QueueKey) -> int | None:
        """The number of its partitions now; None when it does not exist."""
        self._known.pop(queue, None)
        await self._read(queue)
        known = self._known.get(queue)
        return None if known is None else len(known.parts)

    async def note(self, queue: QueueKey, policy: QueuePolicy) -> None:
        """The policy of a queue with several partitions, under its own tag."""
        packed = codec.pack_policy(policy)
        await self._connection.call(
            "HSET", keys.key(queue, "policy"), "json", packed[0], "partitions", policy.partitions
        )
        self._known.pop(queue, None)

    async def note_sessions(self, queue: QueueKey) -> None:
        """Tasks of sessions are about to come."""
        await self._connection.call("HSET", keys.key(queue, "policy"), "has_sessions", 1)
        self._known.pop(queue, None)

    def forget(self, queue: QueueKey) -> None:
        """It was dropped just now."""
        self._known.pop(queue, None)

    async def _read(self, queue: QueueKey) -> Spread:
        stored = keys.key(queue, "policy")
        number, has_sessions, version = await self._connection.call(
            "HMGET", stored, "partitions", "has_sessions", "version"
        )
        spread = Spread(parts_of(queue, int(number or 1)), bool(has_sessions), time.monotonic())
        if number or version:  # a policy that an older Taskfleet wrote has no number
            self._known[queue] = spread
        return spread
