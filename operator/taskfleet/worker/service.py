"""The worker process: puts the parts together, from the first connection to the goodbye."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry

from taskfleet.core.errors import StoreError, StoreUnreachable
from taskfleet.core.pool import EndpointObserved
from taskfleet.providers import Provider, open_endpoint
from taskfleet.store import Store
from taskfleet.telemetry.server import status_server
from taskfleet.telemetry.workermetrics import WorkerMetrics
from taskfleet.worker import variables
from taskfleet.worker.asking import Asking
from taskfleet.worker.breaker import Breaker
from taskfleet.worker.callends import CallEnds
from taskfleet.worker.calls import Calls
from taskfleet.worker.conversations import Conversations
from taskfleet.worker.drain import drain
from taskfleet.worker.heartbeat import Heartbeats
from taskfleet.worker.loop import ClaimLoop
from taskfleet.worker.outbox import OnSettled, Outbox
from taskfleet.worker.pace import Pace
from taskfleet.worker.policy import WorkPolicy
from taskfleet.worker.ratelimiter import RateLimiter
from taskfleet.worker.reports import Reports
from taskfleet.worker.settings import WorkerSettings
from taskfleet.worker.startup import Startup, Stopped
from taskfleet.worker.storehealth import StoreHealth
from taskfleet.worker.streams import Streams
from taskfleet.worker.workplace import Wakes, Workplace

log = logging.getLogger(__name__)


async def run_worker(settings: WorkerSettings) -> int:
    """Work until told to stop; the exit code. The first SIGTERM or SIGINT drains, the second hands back at once.

    Raises InputError (a port that is taken) and the StoreErrors that waiting does not cure.
    """
    stop, hurry = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signalled)
    service = Service(settings, stop, hurry)
    async with contextlib.AsyncExitStack() as stack:
        if settings.port is not None:
            served = status_server(
                registry=service.registry, ready=service.not_ready, port=settings.port, setting=variables.PORT
            )
            port = await stack.enter_async_context(served)
            log.info("status server is up", extra={"port": port})
        with contextlib.suppress(Stopped):
            return await service.run()
    return 0


class Service:
    """One worker's life; ``not_ready()`` is "" while it works, else why it does not.

    It may run inside another program, which then may say how to ``connect`` to what is no store, give the ``provider``,
    hear in ``on_settled`` of the tasks that it settled, and ``allot`` the calls that it may run at once.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        stop: asyncio.Event,
        hurry: asyncio.Event,
        *,
        connect: Callable[[], Awaitable[Workplace]] | None = None,
        provider: Provider | None = None,
        on_settled: OnSettled | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        self._settings = settings
        self._stop = stop
        self._hurry = hurry
        self._connect = connect or (lambda: Store.connect(settings.store_url))
        self._provider = provider
        self._on_settled = on_settled
        self._startup = Startup(stop)
        self._allotted = settings.endpoint.concurrency
        self._breaker, self._pace = Breaker(), Pace(time.monotonic())
        self._calls: Calls | None = None
        self._beats: Heartbeats | None = None
        self._claims: ClaimLoop | None = None
        self._look = asyncio.Event()
        self._metrics = WorkerMetrics(
            self.registry,
            namespace=settings.queue.namespace,
            queue=settings.queue.name,
            pool=settings.pool,
            endpoint=settings.endpoint.name,
            models=settings.endpoint.models,
            prices=settings.endpoint.prices,
            limits=settings.endpoint.limits,
        )
        self._health = StoreHealth(self._metrics, on_back=self._look.set)

    def not_ready(self) -> str:
        if self._claims is None:
            return self._startup.reason
        return "draining" if self._stop.is_set() else self._health.trouble or self._claims.trouble

    async def run(self) -> int:
        settings = self._settings
        async with contextlib.AsyncExitStack() as stack:
            store = await self._startup.connect(self._connect)
            stack.push_async_callback(store.close)
            wakes = await stack.enter_async_context(store.listen([settings.queue]))
            policy = await self._startup.policy(store, settings.queue, wakes)
            endpoint = settings.endpoint
            if endpoint.server:
                await self._startup.server(endpoint.server.url, endpoint.health_path)
            provider = self._provider or open_endpoint(endpoint, settings.api_key)
            stack.push_async_callback(provider.close)
            return await self._work(store, wakes, policy, provider)

    def allot(self, slots: int) -> None:
        """Run no more than this many calls at once from now on; what runs goes on."""
        if self._calls is not None and self._allotted != slots:
            self._calls.allot(slots)
            self._look.set()
        self._allotted = slots

    async def keep_leases(self, store: Workplace) -> None:
        """Renew the leases from another thread and through its ``store``, while our event loop stands still."""
        if self._beats is not None:
            await self._beats.keep(store)

    @property
    def busy(self) -> int:
        """Calls that are with the endpoint; never more than allotted, but for those that ran when fewer were."""
        return self._calls.busy if self._calls else 0

    def observed(self) -> EndpointObserved:
        """What planning may know of this worker's endpoint, with a slot in place of a worker.

        A breaker that is open says that the endpoint is down, or waits as it was asked to; once its pause is over the
        endpoint is unknown until a call tells.
        """
        breaker = self._breaker
        down = bool(breaker.trouble) and (breaker.seconds_until_probe(time.monotonic()) or 0.0) > 0
        return EndpointObserved(
            workers=self._allotted,
            ready=self._allotted,
            inflight=(self._calls.held if self._calls else 0) + (self._claims.asked if self._claims else 0),
            healthy=False if down else None if breaker.trouble else True,
            trouble=breaker.trouble,
            waits=breaker.trouble if breaker.asked_to_wait else "",
            seconds_per_task=self._pace.seconds_per_task,
        )

    async def _work(self, store: Workplace, wakes: Wakes, policy: WorkPolicy, provider: Provider) -> int:
        settings, look = self._settings, self._look
        breaker, pace = self._breaker, self._pace
        limiter = RateLimiter(store, settings, self._metrics)
        streams = Streams(store, settings.queue, self._health)
        reports = Reports(store, settings.queue, self._health)
        outbox = Outbox(
            store, settings.queue, settings.worker, self._health, streams.flush, lambda: calls.full, self._on_settled
        )
        asking = Asking(
            provider=provider,
            endpoint=settings.endpoint,
            conversations=Conversations(store, settings.queue),
            streams=streams,
            reports=reports,
        )
        ends = CallEnds(
            endpoint=settings.endpoint,
            outbox=outbox,
            breaker=breaker,
            limiter=limiter,
            pace=pace,
            metrics=self._metrics,
        )
        calls = Calls(
            asking=asking,
            ends=ends,
            policy=policy,
            limit=self._allotted,
            breaker=breaker,
            pace=pace,
            metrics=self._metrics,
            on_freed=look.set,
        )
        self._calls = calls
        beats = Heartbeats(
            store=store,
            settings=settings,
            calls=calls,
            outbox=outbox,
            breaker=breaker,
            limiter=limiter,
            pace=pace,
            health=self._health,
        )
        self._beats = beats
        self._claims = ClaimLoop(
            store=store,
            settings=settings,
            calls=calls,
            outbox=outbox,
            breaker=breaker,
            limiter=limiter,
            pace=pace,
            health=self._health,
            look=look,
        )
        log.info(
            "working",
            extra={"worker": settings.worker, "queue": str(settings.queue), "endpoint": settings.endpoint.name},
        )
        async with asyncio.TaskGroup() as group:  # any of them broken ends the process, loudly
            parts = (outbox.run(), streams.run(), reports.run(), beats.run(), _follow(wakes, self._claims, beats))
            background = [group.create_task(part) for part in parts]
            claiming = group.create_task(self._claims.run())
            await self._stop.wait()
            deadline = time.monotonic() + settings.grace_seconds
            self._claims.stop()
            await claiming
            beats.draining = True
            await beats.beat()
            settled = await drain(calls, outbox, deadline=deadline, hurry=self._hurry)
            for task in background:
                task.cancel()
        return await self._say_goodbye(store, limiter, outbox if not settled else None)

    async def _say_goodbye(self, store: Workplace, limiter: RateLimiter, unsettled: Outbox | None) -> int:
        """0 when nothing is left with us; else the leases of what is left will expire."""
        try:
            await limiter.flush()
            await store.retire(self._settings.queue, self._settings.worker)
        except StoreError as error:
            log.warning("could not say goodbye to the store", extra={"error": str(error)})
        if unsettled is None:
            log.info("stopped")
            return 0
        log.error("stopped with results that the store did not take", extra={"tasks": len(unsettled)})
        return StoreUnreachable.exit_code


async def _follow(wakes: Wakes, claims: ClaimLoop, beats: Heartbeats) -> None:
    while True:
        if await wakes.wait(None):
            claims.woken()
            beats.soon()
