"""Heartbeats: one call renews all leases, reports the worker, and brings what was lost or cancelled."""

import asyncio
import contextlib
import secrets
import time

from taskfleet.core.errors import StoreError
from taskfleet.core.settlement import WorkerReport
from taskfleet.worker.breaker import Breaker
from taskfleet.worker.calls import Calls
from taskfleet.worker.outbox import Outbox
from taskfleet.worker.pace import Pace
from taskfleet.worker.ratelimiter import RateLimiter
from taskfleet.worker.runningcall import Interruption
from taskfleet.worker.settings import WorkerSettings
from taskfleet.worker.storehealth import StoreHealth
from taskfleet.worker.workplace import Workplace

RETRY_SECONDS = 0.5
WOKEN_SECONDS = 0.25  # between two heartbeats, however often the queue wakes us


class Heartbeats:
    """``draining`` is told to the controller, which then no longer counts on this worker."""

    def __init__(
        self,
        *,
        store: Workplace,
        settings: WorkerSettings,
        calls: Calls,
        outbox: Outbox,
        breaker: Breaker,
        limiter: RateLimiter,
        pace: Pace,
        health: StoreHealth,
    ) -> None:
        self.draining = False
        self._process = secrets.token_hex(4)
        self._store = store
        self._settings = settings
        self._calls = calls
        self._outbox = outbox
        self._breaker = breaker
        self._limiter = limiter
        self._pace = pace
        self._health = health
        self._woken = asyncio.Event()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            began = time.monotonic()
            interval = self._calls.policy.heartbeat_seconds
            if not await self.beat():
                interval = min(interval, RETRY_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(began + interval - time.monotonic(), 0.0)):
                    await self._woken.wait()
                    await asyncio.sleep(max(began + WOKEN_SECONDS - time.monotonic(), 0.0))

    def soon(self) -> None:
        """The queue has woken: among what changed may be that a task which runs here was cancelled."""
        if self._calls.running:
            self._woken.set()

    async def beat(self) -> bool:
        """One heartbeat now; False when the store could not take it. Running calls go on meanwhile."""
        leases = self._leases()
        try:
            answer = await self._store.heartbeat(self._settings.queue, self._report(), leases)
        except StoreError as error:
            self._health.failed(error)
            return False
        self._health.served()
        # By fence: what was settled and claimed anew while this was on its way is not what the answer is about.
        for task_id in answer.lost:
            self._calls.interrupt(task_id, leases[task_id], Interruption.LOST)
            self._outbox.drop(task_id, leases[task_id])
        for task_id in answer.cancelled:
            self._calls.interrupt(task_id, leases[task_id], Interruption.CANCELLED)
        return True

    async def keep(self, store: Workplace) -> None:
        """Renew the leases through another store: for who sees from outside that our event loop stands still.

        What the answer brings is left to the next beat. Raises StoreError.
        """
        await store.heartbeat(self._settings.queue, self._report(), self._leases())

    def _leases(self) -> dict[str, int]:
        # Waiting results first: a task that is both was claimed again, and the running call's fence is the newer.
        return {**self._outbox.leases, **{call.task.id: call.task.fence for call in self._calls.running.values()}}

    def _report(self) -> WorkerReport:
        busy_server = self._breaker.trouble if self._breaker.asked_to_wait else ""
        return WorkerReport(
            worker=self._settings.worker,
            pool=self._settings.pool,
            endpoint=self._settings.endpoint.name,
            slots=self._calls.slots,
            inflight=self._calls.busy,
            seconds_per_task=self._pace.seconds_per_task,
            tokens_per_task=self._pace.tokens_per_task,
            tasks_per_minute=self._pace.tasks_per_minute(time.monotonic()),
            process=self._process,
            models=tuple(self._settings.endpoint.models),
            trouble="" if busy_server else self._breaker.trouble,
            waits=busy_server or self._limiter.waits,
            draining=self.draining,
        )
