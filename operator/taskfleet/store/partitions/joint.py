"""A submission to several partitions, whole or not at all, whoever dies in the middle of it.

Its tasks are staged in each of them, where nobody sees them. One script then decides, in the stage of the first
partition; after that every stage is committed, the first one last, by the submitter or by whoever comes
(``finish_decided``). A stage whose first one is gone was never decided, and is swept (``sweep``).
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence

from taskfleet.core.errors import StoreError
from taskfleet.core.task import QueueKey
from taskfleet.store import keys, lua
from taskfleet.store.connection import Connection
from taskfleet.store.incoming import NewTasks
from taskfleet.store.partitions.asking import together
from taskfleet.store.partitions.home import Parts
from taskfleet.store.submission import Stage, accept, unstage

_log = logging.getLogger(__name__)

# A stage that nobody touches for 10 minutes is swept; that of the first partition may be without a task of its own.
_TOUCH_SECONDS = 60.0
# The submitter commits at once, and takes back at once; whoever comes later than this does it in its place.
_LATER_MS = 1000


class Joint:
    """One such submission. ``batch``: its name, b"" for none."""

    def __init__(self, connection: Connection, parts: Parts, batch: bytes) -> None:
        self._connection = connection
        self._parts = parts
        self._batch = batch
        self._first = Stage(connection, parts[0])
        self._others: dict[int, Stage] = {}
        self._touched = float("-inf")

    @property
    def is_open(self) -> bool:
        return self._first.is_open

    async def add(self, chunks: Mapping[int, NewTasks], ids: Sequence[str]) -> int:
        """Stage tasks by their places; ``ids`` are theirs in input order. How many of them were new."""
        count = 0
        if 0 in chunks or time.monotonic() - self._touched > _TOUCH_SECONDS:
            count += await self._first.add(chunks.get(0) or NewTasks(self._batch))
            self._touched = time.monotonic()
        for place in chunks:
            if place and place not in self._others:
                self._others[place] = Stage(self._connection, self._parts[place], first=self._first.number)
        count += sum(await together(self._others[place].add(chunks[place]) for place in chunks if place))
        if self._batch:
            accept(self._parts[0], await self._connection.run(lua.ORDER, self._parts[0], self._first.number, *ids))
        return count

    async def commit(self) -> None:
        """Decide, and commit. What cannot be committed now is by whoever comes later: it has been accepted."""
        others = ",".join(f"{place}:{stage.number.decode()}" for place, stage in self._others.items() if stage.is_open)
        first = self._first.number
        accept(self._parts[0], await self._connection.run(lua.DECIDE, self._parts[0], first, others))
        try:
            await _finish(self._connection, self._parts, first, others)
        except StoreError as error:
            _log.warning("a submission to %s was accepted, and is finished later: %s", self._parts[0], error)

    async def abandon(self) -> None:
        """Take everything back now, unless it was decided. What cannot be reached is swept later."""
        if self.is_open and await self._first.abandon():
            await together(stage.abandon() for stage in self._others.values())


async def _finish(connection: Connection, parts: Parts, first: bytes, others: str) -> None:
    """Commit what was decided. The first one goes last: while it is there, it says so."""
    stages = (each.split(":") for each in others.split(",") if each)
    await together(_commit(connection, parts[int(place)], number.encode()) for place, number in stages)
    await _commit(connection, parts[0], first)


async def _commit(connection: Connection, part: QueueKey, number: bytes) -> None:
    reply = await connection.run(lua.COMMIT, part, number)
    if reply[0] not in (b"stage_lost", b"not_found"):  # committed by another one, or dropped with the queue
        accept(part, reply)


async def finish_decided(connection: Connection, parts: Parts) -> float | None:
    """Commit what submitters that are gone had decided; when to look again (seconds of the store's clock), if any of
    them is young enough to be alive."""
    now, open_, *found = await connection.run(lua.UNFINISHED, parts[0], _LATER_MS)
    for stage, _, others in _stages(found):
        await _finish(connection, parts, stage, others.decode())
        open_ -= 1
    return (now + _LATER_MS) / 1000 if open_ else None


async def sweep(connection: Connection, parts: Parts) -> None:
    """Take back the stages whose first one is gone, taken back or swept: nobody can decide over them any more."""
    for part in parts[1:]:
        _, _, *found = await connection.run(lua.UNFINISHED, part, _LATER_MS)
        for stage, first, _ in _stages(found):
            if not any(await connection.call("HMGET", keys.stage(parts[0], first), "open", "decided")):
                await unstage(connection, part, stage)


def _stages(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
    return zip(flat[::3], flat[1::3], flat[2::3], strict=True)
