"""What a queue object needs of whoever keeps its tasks: one protocol, so that the same code runs everywhere."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from taskfleet.api.taskqueue import published_spec
from taskfleet.api.taskreader import TaskReader
from taskfleet.core.errors import NotFound
from taskfleet.core.events import Progress, TaskEvent
from taskfleet.core.settlement import DeadLetter, QueueStats
from taskfleet.core.task import NewTask, QueueKey, TaskView
from taskfleet.sdk.takeback import sent_or_taken_back
from taskfleet.store import Store

POLICY_SECONDS = 10.0


class Backend(Protocol):
    """One queue, wherever it is. All raise StoreError while it cannot be reached, and NotFound when it is gone."""

    @property
    def name(self) -> str:
        """The queue's name for people."""
        ...

    async def reader(self) -> TaskReader:
        """Makes tasks under the queue's rules as they are now."""
        ...

    async def submit(self, tasks: Iterable[NewTask], batch: str | None = None) -> int:
        """Enqueue all or none, as ``Store.submit`` does. Who is cancelled meanwhile leaves nothing that runs."""
        ...

    async def get(self, ids: Sequence[str]) -> Sequence[TaskView | None]: ...

    async def cancel(self, ids: Sequence[str]) -> dict[str, str]:
        """For each id ``cancelled``, ``cancelling``, ``finished`` or ``not_found``."""
        ...

    async def stats(self) -> QueueStats: ...

    def events(self, task_id: str, after: str) -> AsyncIterator[TaskEvent]:
        """What is told of a task, as ``Store.events`` has it."""
        ...

    def all_progress(self) -> AsyncIterator[Mapping[str, Progress]]:
        """How far each running task is that says so: now, and whenever one says more; for ever."""
        ...

    def batch_tasks(self, batch: str) -> AsyncIterator[TaskView]: ...

    def dead_letters(self) -> AsyncIterator[DeadLetter]: ...

    async def forget(self, ids: Sequence[str]) -> None:
        """These completed, and their results are in good hands."""
        ...


class Readers:
    """A queue's reader, made anew (``make``) once the last one is old: the rules may have changed."""

    def __init__(self, make: Callable[[], Awaitable[TaskReader]]) -> None:
        self._make = make
        self._newest: TaskReader | None = None
        self._until = 0.0

    async def newest(self) -> TaskReader:
        now = time.monotonic()
        if self._newest is None or now > self._until:
            self._newest, self._until = await self._make(), now + POLICY_SECONDS
        return self._newest


class StoreBackend:
    """A queue in a store. ``private``: nobody else reads its results, so that what was read can go."""

    def __init__(self, store: Store, queue: QueueKey, *, private: bool) -> None:
        self._store = store
        self._queue = queue
        self._private = private
        self._readers = Readers(self._read_policy)

    @property
    def name(self) -> str:
        return str(self._queue)

    async def reader(self) -> TaskReader:
        return await self._readers.newest()

    async def _read_policy(self) -> TaskReader:
        policy = await self._store.policy(self._queue)
        if policy is None:
            raise NotFound(
                f"queue: {self._queue} does not exist in this store; apply its TaskQueue first, or look at its name"
            )
        return TaskReader(published_spec(policy, self._queue))

    async def submit(self, tasks: Iterable[NewTask], batch: str | None = None) -> int:
        given = list(tasks)
        return await sent_or_taken_back(self._store.submit(self._queue, given, batch=batch), given, self.cancel)

    async def get(self, ids: Sequence[str]) -> Sequence[TaskView | None]:
        return await self._store.get(self._queue, ids)

    async def cancel(self, ids: Sequence[str]) -> dict[str, str]:
        return await self._store.cancel(self._queue, ids)

    async def stats(self) -> QueueStats:
        found = await self._store.stats(self._queue)
        if found is None:
            raise NotFound(f"queue: {self._queue} is no longer in this store")
        return found

    def events(self, task_id: str, after: str) -> AsyncIterator[TaskEvent]:
        return self._store.events(self._queue, task_id, after)

    def all_progress(self) -> AsyncIterator[Mapping[str, Progress]]:
        return self._store.all_progress(self._queue)

    def batch_tasks(self, batch: str) -> AsyncIterator[TaskView]:
        return self._store.batch_tasks(self._queue, batch)

    def dead_letters(self) -> AsyncIterator[DeadLetter]:
        return self._store.dead_letters(self._queue)

    async def forget(self, ids: Sequence[str]) -> None:
        if self._private:
            await self._store.forget(self._queue, ids)
