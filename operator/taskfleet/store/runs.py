"""What the store keeps of runs of parallel queues: a small record, open items, and the results of those that ended.

A run is driven by one holder. Whoever takes it over is the holder from then on, without waiting for the one before:
what that one still writes is refused. So a coordinator that died is replaced at once.
"""

import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from taskfleet.core.task import QueueKey
from taskfleet.store import keys, lua
from taskfleet.store.connection import Connection

KEPT_SECONDS = 30 * 24 * 3600  # a run that nobody goes on with
_AT_ONCE = 64
_QUICKLY = 1
_OUR_OWN = (b"holder", b"change")


@dataclass(slots=True)
class RunChange:
    """What becomes of a run in one moment: fields, what is open by key (JSON values), what is no more, result lines.

    ``number`` grows from one change of a holder to the next, beginning at 1.
    """

    number: int
    fields: dict[str, Any] = field(default_factory=dict)
    opened: dict[str, Any] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    lines: list[bytes] = field(default_factory=list)


class Runs:
    """Runs of one queue have names."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def take(self, queue: QueueKey, name: str, holder: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Be the one who drives the run from now on; its fields (none: there was no such run) and what is open."""
        await self._connection.call("HSET", keys.run(queue, name), "holder", holder, "change", 0)
        return await self.fields(queue, name), await self.entries(queue, name)

    async def entries(self, queue: QueueKey, name: str) -> dict[str, Any]:
        """What is open of a run, by key."""
        found: Mapping[bytes, bytes] = await self._connection.call("HGETALL", keys.run_open(queue, name))
        return {key.decode(): orjson.loads(entry) for key, entry in found.items()}

    async def holds(self, queue: QueueKey, name: str, holder: str) -> bool:
        """Whether the run is still this holder's."""
        current = await self._connection.call("HGET", keys.run(queue, name), "holder")
        return bool(current is not None and current.decode() == holder)

    async def commit(
        self, queue: QueueKey, name: str, holder: str, change: RunChange, kept_seconds: float = KEPT_SECONDS
    ) -> bool:
        """Write all of it or nothing, and once; False when the run is no longer this holder's, or when the store has
        lost the change before this one."""
        fields = [part for name_, value in change.fields.items() for part in (name_, orjson.dumps(value))]
        opened = [part for index, item in change.opened.items() for part in (index, orjson.dumps(item))]
        blocks = [zlib.compress(b"\n".join(change.lines), _QUICKLY)] if change.lines else []
        head = (name, holder, change.number, round(kept_seconds * 1000))
        counts = (len(fields), len(opened), len(change.ended))
        written = await self._connection.run(
            lua.RUN_COMMIT, queue, *head, *counts, *fields, *opened, *change.ended, *blocks
        )
        return bool(written)

    async def fields(self, queue: QueueKey, name: str) -> dict[str, Any]:
        """What was written of a run; empty when there is none (any more)."""
        found: Mapping[bytes, bytes] = await self._connection.call("HGETALL", keys.run(queue, name))
        return {key.decode(): orjson.loads(value) for key, value in found.items() if key not in _OUR_OWN}

    async def lines(self, queue: QueueKey, name: str, first_block: int = 0) -> AsyncIterator[list[bytes]]:
        """Result lines in the order in which their items ended, a block at a time; ``first_block`` < 0 counts from the
        end."""
        count = int(await self._connection.call("LLEN", keys.run_results(queue, name)))
        at = max(0, count + first_block) if first_block < 0 else first_block
        while at < count:
            for block in await self.blocks(queue, name, at, _AT_ONCE):
                yield block
            at += _AT_ONCE

    async def blocks(self, queue: QueueKey, name: str, first: int, most: int) -> list[list[bytes]]:
        """Some of these blocks; none when there are no more."""
        key = keys.run_results(queue, name)
        found: Sequence[bytes] = await self._connection.call("LRANGE", key, first, first + most - 1)
        return [zlib.decompress(block).split(b"\n") for block in found]

    async def forget(self, queue: QueueKey, name: str) -> None:
        """Remove a run and its results."""
        names = [each(queue, name) for each in (keys.run, keys.run_open, keys.run_results)]
        await self._connection.call("UNLINK", *names)
