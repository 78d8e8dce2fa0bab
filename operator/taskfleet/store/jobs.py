"""What a gateway keeps of its batches beside their tasks: documents, which of them are open, and who drives one."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from taskfleet.core.task import QueueKey
from taskfleet.store import keys
from taskfleet.store.connection import Connection

KEPT_SECONDS = 30 * 24 * 3600
_HIGHEST = "\xff"


class Jobs:
    """Ids sort by their time. A document is a mapping of names to JSON values; each is written by itself."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def create(self, queue: QueueKey, job: str, document: Mapping[str, Any]) -> None:
        """Keep a new one, which is open."""
        call = self._connection.call
        await self.update(queue, job, document)
        await call("ZADD", keys.key(queue, "jobs"), 0, job)
        await call("SADD", keys.OPEN_JOBS, f"{queue}/{job}")

    async def update(self, queue: QueueKey, job: str, fields: Mapping[str, Any]) -> None:
        """Write these fields; the others stay."""
        name = keys.job(queue, job)
        flat = [part for field, value in fields.items() for part in (field, orjson.dumps(value))]
        await self._connection.call("HSET", name, *flat)
        await self._connection.call("EXPIRE", name, KEPT_SECONDS)

    async def get(self, queue: QueueKey, job: str) -> dict[str, Any] | None:
        """The document, None when there is none (any more)."""
        found: dict[bytes, bytes] = await self._connection.call("HGETALL", keys.job(queue, job))
        return {name.decode(): orjson.loads(value) for name, value in found.items()} or None

    async def turn(self, queue: QueueKey, job: str) -> int:
        """A number that is higher than any that was given for this job before."""
        return int(await self._connection.call("HINCRBY", keys.job(queue, job), "turn", 1))

    async def before(self, queue: QueueKey, job: str | None, count: int) -> list[str]:
        """Ids of up to ``count`` that are older than ``job`` (None: of all), newest first."""
        index = keys.key(queue, "jobs")
        start = f"[{_HIGHEST}" if job is None else f"({job}"
        found: Sequence[bytes] = await self._connection.call(
            "ZRANGE", index, start, "-", "BYLEX", "REV", "LIMIT", 0, count
        )
        return [each.decode() for each in found]

    async def forget(self, queue: QueueKey, job: str) -> None:
        """Take it out of the lists, when its document has expired."""
        await self._connection.call("ZREM", keys.key(queue, "jobs"), job)
        await self.close(queue, job)

    async def opened(self) -> list[tuple[QueueKey, str]]:
        """Those of all queues that somebody must drive."""
        found: set[bytes] = await self._connection.call("SMEMBERS", keys.OPEN_JOBS)
        parts = [each.decode().rsplit("/", 1) for each in found]
        return sorted(((QueueKey.parse(queue), job) for queue, job in parts), key=lambda found: found[1])

    async def close(self, queue: QueueKey, job: str) -> None:
        """Nobody needs to drive it any more."""
        await self._connection.call("SREM", keys.OPEN_JOBS, f"{queue}/{job}")

    async def hold(self, queue: QueueKey, job: str, holder: str, seconds: float) -> bool:
        """Be the one who drives it, for so long; False when somebody else is. Again by its holder, it is renewed."""
        name, milliseconds = f"{keys.job(queue, job)}:holder", round(seconds * 1000)
        if await self._connection.call("SET", name, holder, "NX", "PX", milliseconds):
            return True
        current = await self._connection.call("GET", name)
        if current is None or current.decode() != holder:
            return False
        return bool(await self._connection.call("PEXPIRE", name, milliseconds))
