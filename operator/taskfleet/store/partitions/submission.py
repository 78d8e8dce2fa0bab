"""Tasks on their way into the partitions of a queue."""

from collections import Counter
from collections.abc import Iterable, Sequence, Sized

from taskfleet.core.cleanup import to_its_end
from taskfleet.core.errors import DuplicateTask, QueueFull
from taskfleet.core.task import NewTask, QueueKey
from taskfleet.store import lua
from taskfleet.store.connection import Connection
from taskfleet.store.incoming import NewTasks, check_name
from taskfleet.store.partitions.doubles import at_home, elsewhere
from taskfleet.store.partitions.home import Parts, place_of_task
from taskfleet.store.partitions.joint import Joint
from taskfleet.store.partitions.known import Spreads
from taskfleet.store.partitions.room import Room
from taskfleet.store.submission import CHUNK_BYTES, CHUNK_TASKS, accept

_ALL_BYTES = 4 * CHUNK_BYTES  # of the chunks of all partitions


class _Pending:
    """Tasks that were read and not sent yet, packed by place."""

    def __init__(self, batch: bytes, number: int) -> None:
        self._batch = batch
        self._number = number
        self.clear()

    def clear(self) -> None:
        self.tasks: dict[str, NewTask] = {}
        self.chunks: dict[int, NewTasks] = {}
        self.bytes = 0

    def has_room(self, task: NewTask) -> bool:
        chunk = self.chunks.get(place_of_task(task, self._number))
        if chunk is None:
            return self.bytes + len(task.body) <= _ALL_BYTES or not self.tasks
        return chunk.count < CHUNK_TASKS and chunk.bytes + len(task.body) <= CHUNK_BYTES

    def add(self, task: NewTask) -> None:
        """One more. Errors: DuplicateTask when its id is here already, InvalidTask when it cannot be stored."""
        if task.id in self.tasks and task.once:
            return
        if task.id in self.tasks:
            raise DuplicateTask(task.id)
        place = place_of_task(task, self._number)
        if place not in self.chunks:
            self.chunks[place] = NewTasks(self._batch)
        self.chunks[place].add(task)
        self.tasks[task.id] = task
        self.bytes += len(task.body)

    def drop(self, ids: Iterable[str]) -> None:
        """Leave these out."""
        left = [task for name, task in self.tasks.items() if name not in set(ids)]
        self.clear()
        for task in left:
            self.add(task)

    def places(self) -> dict[str, int]:
        return {name: place_of_task(task, self._number) for name, task in self.tasks.items()}

    def by_tenant(self) -> Counter[str]:
        return Counter(task.tenant for task in self.tasks.values())

    def of_sessions(self) -> bool:
        return any(task.session for task in self.tasks.values())


class Submission:
    """One call of ``Store.submit``."""

    def __init__(
        self, connection: Connection, spreads: Spreads, room: Room, queue: QueueKey, parts: Parts, batch: str | None
    ) -> None:
        self._connection = connection
        self._spreads = spreads
        self._room = room
        self._queue = queue
        self._parts = parts
        self._batch = b"" if batch is None else check_name("batch", batch)
        self._pending = _Pending(self._batch, len(parts))
        self._joint = Joint(connection, parts, self._batch)
        self._sent = 0

    async def submit(self, tasks: Iterable[NewTask]) -> int:
        """All of the tasks or none; how many were new."""
        expected, count, pending = len(tasks) if isinstance(tasks, Sized) else 0, 0, self._pending
        try:
            for task in tasks:
                if not pending.has_room(task):
                    count += await self._stage(expected)
                pending.add(task)
            if not self._joint.is_open and len(pending.chunks) <= 1 and not self._batch:
                return await self._send_one()
            count += await self._stage(expected)
            if self._joint.is_open:
                await self._joint.commit()
        except BaseException:
            await to_its_end(self._joint.abandon())
            raise
        return count

    async def _send_one(self) -> int:
        """What goes to a single partition is one script, as in any queue."""
        await self._check(0)
        for place, chunk in self._pending.chunks.items():
            reply = await self._connection.run(lua.SUBMIT, self._parts[place], *chunk.arguments())
            return int(accept(self._queue, reply)[0])
        return 0

    async def _stage(self, expected: int) -> int:
        if self._pending.tasks:
            await self._check(expected)
        count = 0
        if self._pending.tasks:
            count = await self._joint.add(self._pending.chunks, list(self._pending.tasks))
        self._pending.clear()
        return count

    async def _check(self, expected: int) -> None:
        """What no partition can know of the others: doubles there, and room in all."""
        pending = self._pending
        spread = await self._spreads.of(self._queue)
        if pending.of_sessions() and not spread.has_sessions:
            await self._spreads.note_sessions(self._queue)
        if pending.of_sessions() or spread.has_sessions:
            self._leave_out(await elsewhere(self._connection, self._parts, pending.places()))
        try:
            await self._take_room(expected)
        except QueueFull:
            # Who asks again after a loss is to hear that it is there, and not that the queue is full.
            known = await at_home(self._connection, self._parts, pending.places())
            self._leave_out(known)
            if not known:
                raise
            await self._take_room(0)
        self._sent += len(pending.tasks)

    async def _take_room(self, expected: int) -> None:
        wanted = max(len(self._pending.tasks), expected - self._sent)
        await self._room.take(self._queue, self._parts, wanted, self._pending.by_tenant())

    def _leave_out(self, known: Sequence[str]) -> None:
        """Tasks whose ids are there: it stands for one that is submitted ``once``. Errors: DuplicateTask."""
        for name in known:
            if not self._pending.tasks[name].once:
                raise DuplicateTask(name)
        if known:
            self._pending.drop(known)
