"""The workers of a queue in this process: the same as in a cluster, as tasks of this event loop.

Nothing of the process is theirs: no signal handlers, no logging set-up, no port.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from taskfleet.api.endpoint import Endpoint
from taskfleet.core.errors import StoreError, TaskfleetError
from taskfleet.core.pool import Strategy
from taskfleet.core.task import QueueKey
from taskfleet.providers import Provider
from taskfleet.sdk.slots import pool_policy, share_slots
from taskfleet.sdk.standins import StandIns
from taskfleet.worker.drain import HAND_BACK_SECONDS
from taskfleet.worker.outbox import OnSettled
from taskfleet.worker.service import Service
from taskfleet.worker.settings import WorkerSettings
from taskfleet.worker.workplace import Workplace

log = logging.getLogger(__name__)

POOL = "sdk"
LONGEST_GRACE = 86400.0  # `stop` decides; see ``hurry``
SHARE_EVERY = 0.25


class Workers:
    """One worker for each endpoint; ``max_workers`` calls at once in all. ``api_keys``: what each is shown, by name."""

    def __init__(
        self,
        *,
        place: Workplace,
        connect: Callable[[], Awaitable[Workplace]],
        queue: QueueKey,
        endpoints: Sequence[Endpoint],
        max_workers: int,
        strategy: Strategy,
        api_keys: Mapping[str, str | None],
        provider: Provider | None,
        on_settled: OnSettled,
        on_broken: Callable[[TaskfleetError], None],
        stand_ins: StandIns | None,
    ) -> None:
        self._place = place
        self._connect = connect
        self._queue = queue
        self._pool = pool_policy(endpoints, max_workers, strategy)
        self._on_broken = on_broken
        self._stand_ins = stand_ins
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()
        self._services = {
            endpoint.name: Service(
                WorkerSettings(
                    store_url="",  # it is told how to connect
                    queue=queue,
                    pool=POOL,
                    endpoint=endpoint,
                    worker=f"{endpoint.name}-{secrets.token_hex(3)}",
                    port=None,
                    grace_seconds=LONGEST_GRACE,
                    api_key=api_keys.get(endpoint.name),
                ),
                self._stop,
                self._hurry,
                connect=connect,
                provider=provider,
                on_settled=on_settled,
            )
            for endpoint in endpoints
        }
        self._running: list[asyncio.Task[None]] = []
        self._sharing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work; returns at once."""
        alone = len(self._services) == 1
        for service in self._services.values():
            service.allot(self._pool.max_workers if alone else 0)
            self._running.append(asyncio.create_task(self._run(service)))
        if not alone:
            self._sharing = asyncio.create_task(self._share())

    async def keep_leases(self) -> None:
        """Keep what runs here ours; for another thread, while this one's loop stands still. Raises StoreError."""
        place = await self._connect()
        try:
            for service in self._services.values():
                await service.keep_leases(place)
        finally:
            await place.close()

    async def stop(self, timeout: float | None) -> None:  # noqa: ASYNC109  not a bound: what does not fit is handed back
        """Claim nothing more, let running calls end for up to ``timeout`` seconds, hand the rest back to the queue."""
        self._stop.set()
        if self._running:
            await asyncio.wait(self._running, timeout=timeout)
        self._hurry.set()
        if self._running:
            await asyncio.wait(self._running, timeout=4 * HAND_BACK_SECONDS)
        for task in (*self._running, *([self._sharing] if self._sharing else [])):
            task.cancel()
        await asyncio.gather(*self._running, *([self._sharing] if self._sharing else []), return_exceptions=True)

    async def _run(self, service: Service) -> None:
        try:
            await service.run()
        except TaskfleetError as error:
            self._on_broken(error)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.exception("a worker broke")
            self._on_broken(TaskfleetError(f"a worker of this queue broke: {type(error).__name__}: {error}"))

    async def _allot(self, backlog: Mapping[str, int]) -> None:
        now = time.monotonic()
        seen = {name: service.observed() for name, service in self._services.items()}
        if self._stand_ins is not None:
            try:
                await self._stand_ins.decide(seen)
            except StoreError as error:
                log.warning("cannot say now who stands in for whom", extra={"error": str(error)})
            backlog = self._stand_ins.wanted(backlog, seen, now)
        busy = {name: service.busy for name, service in self._services.items()}
        for name, slots in share_slots(self._pool, backlog, seen, busy, now).items():
            self._services[name].allot(slots)

    async def _share(self) -> None:
        """Give each endpoint its share of the slots, whenever something wakes and while something runs."""
        async with self._place.listen([self._queue]) as wakes:
            while True:
                try:
                    stats = await self._place.stats(self._queue)
                except StoreError as error:
                    log.warning("cannot share out the calls now", extra={"error": str(error)})
                    stats = None
                if stats is not None:
                    await self._allot(stats.backlog)
                busy = stats is None or stats.running or stats.pending or stats.scheduled
                woken = await wakes.wait(SHARE_EVERY if busy else None)
                if woken and busy:
                    await asyncio.sleep(SHARE_EVERY / 10)  # many submissions are one look
