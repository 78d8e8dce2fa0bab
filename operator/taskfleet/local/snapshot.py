"""What a person wants to see of a running ``up``, gathered once a second from the store and the statuses."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.workerpool import WorkerPool
from taskfleet.core.errors import StoreError
from taskfleet.core.settlement import QueueStats, WorkerReport, complaints
from taskfleet.core.task import QueueKey
from taskfleet.local.surface import MemorySurface
from taskfleet.store import Store

RATE_OVER_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue. ``rate`` is finished tasks a second, ``seconds_left`` what that means for the open ones."""

    queue: str
    pending: int
    running: int
    completed: int
    failed: int
    rate: float
    oldest_seconds: float | None
    seconds_left: float | None
    note: str


@dataclass(frozen=True, slots=True)
class EndpointView:
    """One endpoint of a pool. ``healthy`` is None before its first probe."""

    queue: str
    pool: str
    endpoint: str
    healthy: bool | None
    workers: int
    ready: int
    inflight: int
    latency_seconds: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment. ``store_error`` is empty when the store answers; ``enqueued`` counts all tasks ever."""

    queues: tuple[QueueView, ...]
    endpoints: tuple[EndpointView, ...]
    store_error: str
    enqueued: int
    failed: int

    @property
    def open_tasks(self) -> int:
        return sum(queue.pending + queue.running for queue in self.queues)


class Observer:
    """Takes snapshots. Remembers past counts for the rates, and the last values while the store is away."""

    def __init__(self, store: Store, surface: MemorySurface, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._surface = surface
        self._clock = clock
        self._stats: dict[QueueKey, QueueStats] = {}
        self._workers: dict[QueueKey, list[WorkerReport]] = {}
        self._finished: dict[QueueKey, deque[tuple[float, int]]] = {}

    async def snapshot(self, queues: Sequence[TaskQueue], pools: Sequence[WorkerPool]) -> Snapshot:
        store_error = ""
        try:
            for queue in queues:
                stats = await self._store.stats(queue.key)
                if stats is not None:
                    self._stats[queue.key] = stats
                    self._workers[queue.key] = await self._store.workers(queue.key)
        except StoreError as error:
            store_error = str(error)
        seen = {queue.key: self._stats[queue.key] for queue in queues if queue.key in self._stats}
        return Snapshot(
            tuple(self._queue_view(key, stats, pools) for key, stats in seen.items()),
            tuple(view for pool in pools for view in self._endpoint_views(pool)),
            store_error,
            enqueued=sum(stats.counters.get("enqueued", 0) for stats in seen.values()),
            failed=sum(stats.counters.get("failed_total", 0) for stats in seen.values()),
        )

    def _queue_view(self, key: QueueKey, stats: QueueStats, pools: Sequence[WorkerPool]) -> QueueView:
        waiting = stats.pending + stats.scheduled
        rate = self._rate(key, stats)
        oldest = None if stats.oldest_pending_at is None else max(0.0, stats.now - stats.oldest_pending_at)
        left = (waiting + stats.running) / rate if rate and waiting + stats.running else None
        status = self._surface.status("TaskQueue", key.namespace, key.name)
        notes = [
            condition["message"]
            for condition in status.get("conditions", [])
            if (condition["type"], condition["status"]) in (("Served", "False"), ("Paused", "True"))
        ]
        notes += complaints(self._workers.get(key, ()))
        if waiting:
            notes += [note for pool in pools if pool.queue == key for note in self._sick_endpoints(pool)]
        return QueueView(
            str(key), waiting, stats.running, stats.completed, stats.failed, rate, oldest, left, "; ".join(notes)
        )

    def _sick_endpoints(self, pool: WorkerPool) -> list[str]:
        """What the probes of a pool's endpoints say: without a worker there is nobody else to complain."""
        status = self._surface.status("WorkerPool", pool.metadata.namespace, pool.metadata.name)
        return [
            f"pool {pool.metadata.name}: endpoints not healthy: {condition['message']}"
            for condition in status.get("conditions", [])
            if (condition["type"], condition["status"]) == ("EndpointsHealthy", "False")
        ]

    def _rate(self, key: QueueKey, stats: QueueStats) -> float:
        """Finished tasks a second, over the last seconds."""
        now = self._clock()
        finished = stats.completed + stats.counters.get("failed_total", 0)
        history = self._finished.setdefault(key, deque())
        history.append((now, finished))
        while now - history[0][0] > RATE_OVER_SECONDS:
            history.popleft()
        then, before = history[0]
        return max(0, finished - before) / (now - then) if now > then else 0.0

    def _endpoint_views(self, pool: WorkerPool) -> list[EndpointView]:
        status = self._surface.status("WorkerPool", pool.metadata.namespace, pool.metadata.name)
        return [
            EndpointView(
                str(pool.queue),
                pool.metadata.name,
                endpoint["name"],
                endpoint.get("healthy"),
                endpoint.get("workers", 0),
                endpoint.get("ready", 0),
                endpoint.get("inflight", 0),
                endpoint.get("latencySeconds"),
                endpoint.get("message") or endpoint.get("reason", ""),
            )
            for endpoint in status.get("endpoints", [])
        ]
