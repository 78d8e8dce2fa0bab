"""The parts of one worker in the test's own process, on a real store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from taskfleet.core.task import LeasedTask, Priority
from taskfleet.providers import Provider, open_provider
from taskfleet.telemetry.workermetrics import WorkerMetrics
from taskfleet.worker.asking import Asking
from taskfleet.worker.breaker import Breaker
from taskfleet.worker.callends import CallEnds
from taskfleet.worker.calls import Calls
from taskfleet.worker.conversations import Conversations
from taskfleet.worker.heartbeat import Heartbeats
from taskfleet.worker.loop import ClaimLoop
from taskfleet.worker.outbox import Outbox
from taskfleet.worker.pace import Pace
from taskfleet.worker.policy import read_policy
from taskfleet.worker.ratelimiter import RateLimiter
from taskfleet.worker.reports import Reports
from taskfleet.worker.runningcall import Interruption
from taskfleet.worker.settings import WorkerSettings
from taskfleet.worker.storehealth import StoreHealth
from taskfleet.worker.streams import Streams
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import MODEL, stub_endpoint


@dataclass
class Parts:
    """A worker that does nothing by itself except settling."""

    calls: Calls
    outbox: Outbox
    beats: Heartbeats
    claims: ClaimLoop
    pace: Pace


@asynccontextmanager
async def parts(
    work: Work, url: str, store: Any = None, provider: Provider | None = None, concurrency: int = 4
) -> AsyncIterator[Parts]:
    settings = WorkerSettings("", work.queue, "pool", stub_endpoint(url, concurrency=concurrency), "me", None, 60.0)
    names = {"namespace": "test", "queue": "q", "pool": "pool", "endpoint": "stub", "models": [MODEL]}
    metrics = WorkerMetrics(CollectorRegistry(), **names)  # type: ignore[arg-type]  # mixed values by design
    look, breaker, pace = asyncio.Event(), Breaker(), Pace(0.0)
    limiter = RateLimiter(store or work.store, settings, metrics)
    health = StoreHealth(metrics, look.set)
    store = store or work.store
    streams = Streams(store, work.queue, health)
    outbox = Outbox(store, work.queue, settings.worker, health, streams.flush, lambda: False)
    opened = provider or open_provider("openai", url)
    asking = Asking(
        provider=opened,
        endpoint=settings.endpoint,
        conversations=Conversations(store, work.queue),
        streams=streams,
        reports=Reports(store, work.queue, health),
    )
    told = {"outbox": outbox, "breaker": breaker, "limiter": limiter}
    calls = Calls(
        asking=asking,
        ends=CallEnds(**told, endpoint=settings.endpoint, pace=pace, metrics=metrics),
        policy=await read_policy(work.store, work.queue),
        limit=concurrency,
        breaker=breaker,
        pace=pace,
        metrics=metrics,
        on_freed=look.set,
    )
    shared = {**told, "store": store, "settings": settings, "calls": calls, "pace": pace, "health": health}
    beats = Heartbeats(**shared)
    claims = ClaimLoop(**shared, look=look)
    settling = asyncio.create_task(outbox.run())
    try:
        yield Parts(calls, outbox, beats, claims, pace)
    finally:
        settling.cancel()
        await asyncio.wait([settling])
        calls.interrupt_all(Interruption.LOST)
        await calls.until_idle()
        await opened.close()


def lease(task_id: str, fence: int) -> LeasedTask:
    return LeasedTask(task_id, MODEL, b"{}", Priority.NORMAL, fence, 1, 0.0, 0.0)


async def claimed(work: Work, worker: str = "me") -> LeasedTask:
    """The next task, once there is one to claim."""

    async def claim() -> Sequence[LeasedTask]:
        return (await work.store.claim(work.queue, worker, [MODEL], 1)).tasks

    (task,) = await eventually(claim, "a task to claim")
    return task
