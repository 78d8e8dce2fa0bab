"""Where the calls that a gateway makes itself come from: the store, of which it takes only what is offered here.

The worker that does them is the same as in a pool, with its limits, breaker, retries, streams and accounting.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace

from taskfleet.core.errors import StoreError
from taskfleet.core.settlement import Claim, Heartbeat, Settlement, Verdict, WorkerReport
from taskfleet.core.task import QueueKey
from taskfleet.gateway.offers import Offers
from taskfleet.store import Store
from taskfleet.worker.workplace import Wakes

BLOCKED_SECONDS = 0.25  # after which a task that still waits for another one is looked at again


class _Bell:
    """News of a queue: what the store tells, and what is offered here."""

    def __init__(self, queue: QueueKey) -> None:
        self._queue = queue
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, timeout: float | None) -> Collection[QueueKey]:  # noqa: ASYNC109  as the store's
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._rung.wait()
        rung = self._rung.is_set()
        self._rung.clear()
        return (self._queue,) if rung else ()

    async def follow(self, wakes: Wakes) -> None:
        while True:
            if await wakes.wait(None):
                self.ring()


class DirectPlace:
    """A ``Workplace`` of one queue. The store is the gateway's own, and stays open."""

    def __init__(self, store: Store, offers: Offers) -> None:
        self._store = store
        self._offers = offers
        self._policy_version = 0
        self.policy = store.policy
        self.stats = store.stats
        self.retire = store.retire
        self.turns = store.turns
        self.publish = store.publish
        self.progress = store.progress
        self.reserve = store.reserve
        self.hold_endpoint = store.hold_endpoint

    async def close(self) -> None:
        """Nothing: others use the store too."""

    @contextlib.asynccontextmanager
    async def listen(self, queues: Collection[QueueKey]) -> AsyncIterator[_Bell]:
        (queue,) = queues
        bell = _Bell(queue)
        ended = self._offers.on_news(bell.ring)
        async with self._store.listen(queues) as wakes:
            following = asyncio.create_task(bell.follow(wakes))
            try:
                yield bell
            finally:
                ended()
                following.cancel()
                await asyncio.wait((following,))

    async def claim(self, queue: QueueKey, worker: str, models: Sequence[str], count: int) -> Claim:
        """Of what is offered, what nobody else has begun."""
        ids = self._offers.take(models, count)
        if not ids:
            return Claim((), self._offers.next_in(models), self._policy_version, stopped=False)
        try:
            taken = await self._store.take(queue, worker, ids)
        except StoreError:
            self._offers.put_back(ids)
            raise
        self._policy_version = taken.policy_version
        self._offers.put_back(list(taken.waiting), BLOCKED_SECONDS)
        for task_id in set(ids) - taken.waiting - {task.id for task in taken.tasks}:
            self._offers.withdraw(task_id)  # a worker has it, or it has ended
        return Claim(taken.tasks, self._offers.next_in(models), taken.policy_version, taken.stopped)

    async def heartbeat(self, queue: QueueKey, report: WorkerReport, leases: Mapping[str, int]) -> Heartbeat:
        heard = await self._store.heartbeat(queue, replace(report, gateway=True), leases)
        self._offers.put_back(list(heard.lost))
        return heard

    async def settle(self, queue: QueueKey, settlements: Sequence[Settlement]) -> list[bool]:
        accepted = await self._store.settle(queue, settlements)
        for end in settlements:
            if end.verdict in (Verdict.RETRY, Verdict.RELEASE):
                self._offers.put_back([end.task_id], end.delay)
            else:
                self._offers.withdraw(end.task_id)
        return accepted
