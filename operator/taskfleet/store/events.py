"""What is told of a task, as its readers have it: in order, without a gap that is not named, to the end."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping

import orjson

from taskfleet.core.errors import InputError, NotFound, StoreUnreachable
from taskfleet.core.events import EventKind, TaskEvent
from taskfleet.core.task import QueueKey
from taskfleet.store import keys, lua
from taskfleet.store.connection import Connection
from taskfleet.store.followers import AWAY_SECONDS, Followers

_AT_ONCE = 100
_ID = re.compile(r"([0-9]{1,10})-([0-9]{1,10})")
_BEFORE_ALL = (0, 0)

Place = tuple[int, int]


async def events(
    connection: Connection, followers: Followers, queue: QueueKey, task_id: str, after: str
) -> AsyncIterator[TaskEvent]:
    """See ``Store.events``."""
    reader = _Reader(connection, queue, task_id, after)
    reached = False
    async with followers.follow(reader.key) as news:
        while not reader.done:
            news.clear()
            try:
                found = await reader.read()
            except StoreUnreachable:
                if not reached:
                    raise
                await asyncio.sleep(AWAY_SECONDS)
                continue
            reached = True
            for event in found:
                yield event
            if not found and not reader.done:
                await news.wait()


class _Reader:
    """Reads on from a place. ``done``: the end was read."""

    def __init__(self, connection: Connection, queue: QueueKey, task_id: str, after: str) -> None:
        self.key = keys.events(queue, task_id)
        self.done = False
        self._connection = connection
        self._queue = queue
        self._task_id = task_id
        self._place = _place(after)

    async def read(self) -> list[TaskEvent]:
        """What is there behind what was read; nothing while there is nothing new. Raises NotFound, StoreError."""
        found = await self._kept()
        if not found:
            found = await self._ended()
        self.done = self.done or any(event.kind is EventKind.FINISHED for event in found)
        return found

    async def _kept(self) -> list[TaskEvent]:
        start = f"({_text(self._place)}"
        found: list[TaskEvent] = []
        for identity, fields in await self._connection.call("XRANGE", self.key, start, "+", "COUNT", _AT_ONCE):
            event = _event(identity, fields)
            at = _place(event.id)
            if not _follows(self._place, at):
                found.append(TaskEvent(_text((at[0], at[1] - 1)), EventKind.TRIMMED, event.at, {}))
            found.append(event)
            self._place = at
        return found

    async def _ended(self) -> list[TaskEvent]:
        """The end of a task whose last event was read before, or is gone. One that goes on is followed from now on."""
        reply = await self._connection.run(lua.FOLLOW, self._queue, self._task_id)
        if reply is None:
            raise NotFound(
                f"there is no task {self._task_id!r} in {self._queue}; finished ones are kept for the queue's retention"
            )
        state, attempts, was_kept = reply
        if not state:
            return []
        if found := await self._kept():  # it ended between the two
            return found
        self.done = True
        place = _text(self._place)
        last = await self._connection.call("XREVRANGE", self.key, "+", "-", "COUNT", 1)
        if last and last[0][0].decode() == place:
            return []  # the end was read before
        end = TaskEvent(place, EventKind.FINISHED, None, {"state": state.decode(), "attempts": attempts})
        return [TaskEvent(place, EventKind.TRIMMED, None, {}), end] if was_kept else [end]


def _event(identity: bytes, fields: Mapping[bytes, bytes]) -> TaskEvent:
    kind = EventKind(fields[b"k"].decode())
    return TaskEvent(identity.decode(), kind, int(fields[b"t"]) / 1000, orjson.loads(fields[b"d"]))


def _text(place: Place) -> str:
    return f"{place[0]}-{place[1]}"


def _place(event_id: str) -> Place:
    if not event_id:
        return _BEFORE_ALL
    found = _ID.fullmatch(event_id)
    if found is None:
        raise InputError(f"after: {event_id!r} is not the id of an event; give the id of the last one that was read")
    return int(found[1]), int(found[2])


def _follows(place: Place, at: Place) -> bool:
    """Whether nothing that counts was between them: a new attempt begins with its number 1."""
    return at[1] == 1 or at == (place[0], place[1] + 1)
