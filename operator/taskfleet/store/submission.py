"""Tasks on their way in: one script call when they are few, a stage in bounded chunks and one commit when many."""

import logging
from collections.abc import Iterable, Sized
from typing import Any

from taskfleet.core.cleanup import to_its_end
from taskfleet.core.errors import (
    DuplicateTask,
    InvalidTask,
    NotFound,
    QueueClosed,
    QueueFull,
    StoreError,
    StoreUnreachable,
)
from taskfleet.core.task import DEFAULT_TENANT, NewTask, QueueKey
from taskfleet.store import lua
from taskfleet.store.connection import Connection
from taskfleet.store.incoming import NewTasks, check_name

_log = logging.getLogger(__name__)

CHUNK_TASKS = 1000
CHUNK_BYTES = 4 * 1024 * 1024


async def submit(connection: Connection, queue: QueueKey, tasks: Iterable[NewTask], batch: str | None) -> int:
    """All of the tasks or none; how many were new. See ``Store.submit``."""
    name = b"" if batch is None else check_name("batch", batch)
    expected = len(tasks) if isinstance(tasks, Sized) else 0
    chunk, stage = NewTasks(name), Stage(connection, queue, expected)
    count = 0
    try:
        for task in tasks:
            if chunk.count == CHUNK_TASKS or (chunk.count and chunk.bytes + len(task.body) > CHUNK_BYTES):
                count += await stage.add(chunk)
                chunk = NewTasks(name)
            chunk.add(task)
        if not stage.is_open:
            if not chunk.count:
                return 0
            return int(accept(queue, await connection.run(lua.SUBMIT, queue, *chunk.arguments()))[0])
        count += await stage.add(chunk)
        await stage.commit()
    except BaseException:
        await to_its_end(stage.abandon())
        raise
    return count


class Stage:
    """Tasks that are in the store and that nobody sees yet. ``first``: the stage of the first partition of the queue
    that decides over this one; none when it is its own."""

    def __init__(self, connection: Connection, queue: QueueKey, expected: int = 0, first: bytes = b"") -> None:
        self._connection = connection
        self._queue = queue
        self._expected = expected
        self._opening = b"of:" + first if first else b""
        self.number = b""

    @property
    def is_open(self) -> bool:
        return bool(self.number)

    async def add(self, chunk: NewTasks) -> int:
        """How many of them were new."""
        stage = self.number or self._opening
        reply = await self._connection.run(lua.STAGE, self._queue, stage, self._expected, *chunk.arguments())
        self.number, taken = accept(self._queue, reply)
        return int(taken)

    async def commit(self) -> None:
        accept(self._queue, await self._connection.run(lua.COMMIT, self._queue, self.number))

    async def abandon(self) -> bool:
        """Take everything back now; what cannot be reached is swept by ``tick`` later. Whether it is gone."""
        try:
            return not self.is_open or await unstage(self._connection, self._queue, self.number)
        except StoreError as error:
            _log.warning("a submission to %s could not be taken back now, and is swept later: %s", self._queue, error)
            return False


async def unstage(connection: Connection, queue: QueueKey, number: bytes) -> bool:
    """Take a stage back, in bounded steps; False when it was decided, and stays."""
    while not (found := await connection.run(lua.UNSTAGE, queue, number)):
        pass
    return bool(found > 0)


def accept(queue: QueueKey, reply: list[Any]) -> list[Any]:
    """What a script says after ``ok``; or raise what its refusal says."""
    match [reply[0].decode(), *reply[1:]]:
        case ["ok", *rest]:
            return rest
        case ["not_found"]:
            raise NotFound(f"queue {queue} does not exist in this store; apply its TaskQueue first")
        case ["closed"]:
            raise QueueClosed(f"queue {queue} is being deleted and takes no new tasks")
        case ["too_large", task_id, size, limit]:
            raise InvalidTask(
                f"task {task_id.decode()!r}: it has {size} bytes, limits.maxTaskBytes of this queue is {limit}; "
                "shorten the task or raise the limit"
            )
        case ["full", held, limit]:
            raise QueueFull(
                f"queue {queue} is full: {held} tasks wait and limits.maxPending is {limit}; "
                "nothing was taken, try again when some are done"
            )
        case ["tenant_full", tenant, held, limit]:
            name = tenant.decode() or DEFAULT_TENANT
            raise QueueFull(
                f"tenant {name} has {held} tasks waiting in queue {queue} and tenants.{name}.maxPending is {limit}; "
                "nothing was taken, try again when some are done"
            )
        case ["duplicate", task_id]:
            raise DuplicateTask(task_id.decode())
        case ["staged", task_id]:
            raise StoreError(
                f"task {task_id.decode()!r} belongs to a submission to queue {queue} that has begun and not ended; "
                "if whoever sent it is gone it is given up within 10 minutes, submit it again then"
            )
        case ["stage_lost"]:
            raise StoreUnreachable(f"the submission to queue {queue} took too long and was given up; submit it again")
        case other:
            raise StoreError(f"unknown reply of the store: {other!r}")
