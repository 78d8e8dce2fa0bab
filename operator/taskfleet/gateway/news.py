"""What is new in a queue, for all who follow it: one hearing of the store, however many there are."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any

from taskfleet.core.errors import StoreError
from taskfleet.core.events import Progress
from taskfleet.core.task import QueueKey
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.ends import Ends
from taskfleet.gateway.followers import Follower, Kind
from taskfleet.store import Store

AWAY_SECONDS = 1.0  # before the next try to hear of a store that is in trouble


class News:
    """Of all queues. A queue is heard while somebody follows it."""

    def __init__(self, store: Store, ends: Ends) -> None:
        self._store = store
        self._ends = ends
        self._queues: dict[QueueKey, _QueueNews] = {}

    @contextlib.contextmanager
    def follow(self, queue: QueueKey, caller: Caller, kinds: frozenset[Kind]) -> Iterator[Follower]:
        """The caller hears of the tasks that are his to see."""
        follower = Follower(caller, kinds)
        heard = self._queues.get(queue)
        if heard is None:
            heard = self._queues[queue] = _QueueNews(self._store, queue)
            self._ends.hear(queue, heard.ended)
        heard.join(follower)
        try:
            yield follower
        finally:
            heard.leave(follower)
            if not heard.followers:
                self._ends.hear(queue, None)
                del self._queues[queue]

    def end(self) -> None:
        """Tell all who follow that nothing more is told: they may come back to another gateway."""
        for heard in self._queues.values():
            for follower in heard.followers:
                follower.end()


class _QueueNews:
    """Hears of one queue. Whose a task is is looked up once, and only when a follower may not see all."""

    def __init__(self, store: Store, queue: QueueKey) -> None:
        self.followers: list[Follower] = []
        self._store = store
        self._queue = queue
        self._ended: list[str] = []
        self._some_ended = asyncio.Event()
        self._progress: Mapping[str, Progress] = {}
        self._tenants: dict[str, str] = {}  # of tasks that tell how far they are
        self._parts = [self._start(part) for part in (self._tell_ends(), self._hear_progress(), self._hear_wakes())]

    def join(self, follower: Follower) -> None:
        self.followers.append(follower)
        follower.tell_progress(self._own(self._progress, self._tenants, follower))

    def leave(self, follower: Follower) -> None:
        self.followers.remove(follower)
        if not self.followers:
            for part in self._parts:
                part.cancel()

    def ended(self, ids: Sequence[str]) -> None:
        """These have ended."""
        self._ended += ids
        self._some_ended.set()

    async def _tell_ends(self) -> None:
        while True:
            await self._some_ended.wait()
            self._some_ended.clear()
            ids, self._ended = self._ended, []
            try:
                tenants = await self._tenants_of(ids)
            except StoreError:  # whoever waits for one is told by the next look
                for follower in self.followers:
                    follower.tell_missed()
                continue
            for follower in self.followers:
                own = ids if follower.caller.sees_all else self._own(dict.fromkeys(ids), tenants, follower)
                follower.tell_ended(list(own))

    async def _hear_progress(self) -> None:
        while True:
            with contextlib.suppress(StoreError):
                async for found in self._store.all_progress(self._queue):
                    await self._tell_progress(found)
            await asyncio.sleep(AWAY_SECONDS)

    async def _tell_progress(self, found: Mapping[str, Progress]) -> None:
        news = {task_id: told for task_id, told in found.items() if self._progress.get(task_id) != told}
        with contextlib.suppress(StoreError):  # then those of unknown tenants are told to who sees all
            known = {task_id: self._tenants[task_id] for task_id in found if task_id in self._tenants}
            self._tenants = known | await self._tenants_of([each for each in found if each not in known])
        self._progress = found
        for follower in self.followers:
            follower.tell_progress(self._own(news, self._tenants, follower))

    async def _hear_wakes(self) -> None:
        async with self._store.listen([self._queue]) as wakes:
            woken = True  # who joined before we were listening may have missed one
            while True:
                for follower in self.followers if woken else ():
                    follower.tell_wake()
                woken = bool(await wakes.wait(None))

    async def _tenants_of(self, ids: Sequence[str]) -> dict[str, str]:
        if all(follower.caller.sees_all for follower in self.followers):
            return {}
        views = await self._store.get(self._queue, ids)
        return {view.id: view.tenant for view in views if view is not None}

    @staticmethod
    def _own(told: Mapping[str, Any], tenants: Mapping[str, str], follower: Follower) -> dict[str, Any]:
        caller = follower.caller
        if caller.sees_all:
            return dict(told)
        return {name: each for name, each in told.items() if name in tenants and caller.sees(tenants[name])}

    @staticmethod
    def _start(part: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return asyncio.create_task(part, name="news of a queue")
