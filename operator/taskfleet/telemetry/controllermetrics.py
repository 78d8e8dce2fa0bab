"""What a controller shows of queues, pools and itself."""

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from taskfleet.core.names import METRIC_NEEDED_WORKERS
from taskfleet.core.settlement import QueueStats
from taskfleet.core.task import Priority, QueueKey, TaskState
from taskfleet.telemetry.counted import ScaleDecisions, StoreTotals
from taskfleet.telemetry.labels import ENDPOINT, POOL, QUEUE, EndpointLabels, PoolLabels, store_up

REACTION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
FINISHED = tuple(state.value for state in TaskState if state.is_final)
WORKER_STATES = ("ready", "starting")


class ControllerMetrics:
    """What the controller shows of queues, pools and itself. ``open_*`` creates series, ``forget_*`` removes them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.queue_tasks = Gauge(
            "taskfleet_queue_tasks", "Tasks in the queue now, by state.", (*QUEUE, "state"), registry=registry
        )
        self.queue_depth = Gauge(
            "taskfleet_queue_depth", "Waiting tasks, by priority.", (*QUEUE, "priority"), registry=registry
        )
        self.oldest_pending = Gauge(
            "taskfleet_queue_oldest_pending_seconds", "Age of the oldest waiting task.", QUEUE, registry=registry
        )
        self.queue_paused = Gauge(
            "taskfleet_queue_paused",
            "1 while no task is started because someone said so, else 0.",
            QUEUE,
            registry=registry,
        )
        self.totals = StoreTotals(registry)
        self.scaling_limited = Gauge(
            "taskfleet_pool_scaling_limited",
            "1 while a limit holds back workers that could be used, else 0.",
            POOL,
            registry=registry,
        )
        self.pool_workers = Gauge(
            "taskfleet_pool_workers",
            "Workers of an endpoint, by state: starting (asked for, not ready) and ready.",
            (*ENDPOINT, "state"),
            registry=registry,
        )
        self.pool_desired = Gauge(
            "taskfleet_pool_desired_workers", "Workers that the last plan asked for.", ENDPOINT, registry=registry
        )
        self.pool_needed = Gauge(
            METRIC_NEEDED_WORKERS,
            "Workers that what waits and runs can use, before delays and maxWorkers; absent while that cannot be said.",
            POOL,
            registry=registry,
        )
        self.endpoint_healthy = Gauge(
            "taskfleet_endpoint_healthy", "1 when the endpoint answers its probe, else 0.", ENDPOINT, registry=registry
        )
        self.scale_decisions = ScaleDecisions(registry)
        self.scale_reaction = Histogram(
            "taskfleet_scale_reaction_seconds",
            "Time from the wake-up of an empty pool's queue to its workers being asked for.",
            POOL,
            buckets=REACTION_BUCKETS,
            registry=registry,
        )
        self.store_up = store_up(registry)
        self.reconciles = Counter(
            "taskfleet_reconcile", "Reconciliations, by kind and outcome.", ("kind", "outcome"), registry=registry
        )
        self.reconcile_seconds = Histogram(
            "taskfleet_reconcile_seconds", "Time of one reconciliation.", ("kind",), registry=registry
        )
        # What to remove is known by its labels: to look for it would be a look at the series of all others.
        self._endpoints: dict[PoolLabels, set[str]] = {}
        for kind in ("TaskQueue", "WorkerPool", "ParallelQueue"):
            for outcome in ("ok", "error"):
                self.reconciles.labels(kind, outcome)
        for kind in ("TaskQueue", "WorkerPool"):  # what brings a ParallelQueue to its end takes as long as its run
            self.reconcile_seconds.labels(kind)

    def open_queue(self, queue: QueueKey) -> None:
        """Create the series of a queue at 0."""
        labels = (queue.namespace, queue.name)
        for state in TaskState:
            self.queue_tasks.labels(*labels, state.value)
        for priority in Priority:
            self.queue_depth.labels(*labels, priority.label)
        self.oldest_pending.labels(*labels)
        self.queue_paused.labels(*labels)
        self.totals.show(queue, {}, dict.fromkeys(FINISHED, 0))

    def show_queue(self, queue: QueueKey, stats: QueueStats, *, paused: bool) -> None:
        """``pending`` includes what is scheduled: both wait for a worker. ``paused``: by its spec or for a time."""
        labels = (queue.namespace, queue.name)
        waiting = stats.pending + stats.scheduled
        for state in TaskState:
            number = waiting if state is TaskState.PENDING else getattr(stats, state.value)
            self.queue_tasks.labels(*labels, state.value).set(number)
        for priority in Priority:
            self.queue_depth.labels(*labels, priority.label).set(stats.depth.get(priority.label, 0))
        self.queue_paused.labels(*labels).set(paused)
        oldest = stats.oldest_pending_at
        self.oldest_pending.labels(*labels).set(0 if oldest is None else max(0.0, stats.now - oldest))
        finished = {outcome: getattr(stats, outcome) for outcome in FINISHED}
        finished[TaskState.FAILED.value] = stats.counters.get("failed_total", 0)  # the set of dead letters shrinks
        self.totals.show(queue, stats.counters, finished)

    def forget_queue(self, queue: QueueKey) -> None:
        labels = (queue.namespace, queue.name)
        for state in TaskState:
            self.queue_tasks.remove(*labels, state.value)
        for priority in Priority:
            self.queue_depth.remove(*labels, priority.label)
        self.oldest_pending.remove(*labels)
        self.queue_paused.remove(*labels)
        self.totals.forget(queue)

    def open_pool(self, pool: PoolLabels, endpoints: Collection[str]) -> None:
        """Create the series of a pool and its endpoints at 0; those of endpoints that left it go."""
        self._forget_endpoints(pool, self._endpoints.get(pool, set()) - set(endpoints))
        self._endpoints[pool] = set(endpoints)
        self.scale_reaction.labels(*pool)
        self.show_scaling(pool, limited=False, needed=None)
        self.scale_decisions.open(pool)
        for endpoint in endpoints:
            self.show_endpoint((*pool, endpoint), desired=0, ready=0, healthy=False)

    def show_scaling(self, pool: PoolLabels, *, limited: bool, needed: int | None) -> None:
        """``needed``: None where it is not known: no 0 is shown then, for somebody may scale by it."""
        self.scaling_limited.labels(*pool).set(limited)
        if needed is None:
            self.pool_needed.remove(*pool)
        else:
            self.pool_needed.labels(*pool).set(needed)

    def show_endpoint(self, endpoint: EndpointLabels, *, desired: int, ready: int, healthy: bool) -> None:
        self.pool_workers.labels(*endpoint, "ready").set(ready)
        self.pool_workers.labels(*endpoint, "starting").set(max(0, desired - ready))
        self.pool_desired.labels(*endpoint).set(desired)
        self.endpoint_healthy.labels(*endpoint).set(healthy)

    def forget_pool(self, pool: PoolLabels) -> None:
        if pool not in self._endpoints:
            return
        self._forget_endpoints(pool, self._endpoints.pop(pool))
        self.scale_decisions.forget(pool)
        self.scale_reaction.remove(*pool)
        self.scaling_limited.remove(*pool)
        self.pool_needed.remove(*pool)

    def _forget_endpoints(self, pool: PoolLabels, endpoints: Collection[str]) -> None:
        for endpoint in endpoints:
            self.pool_desired.remove(*pool, endpoint)
            self.endpoint_healthy.remove(*pool, endpoint)
            for state in WORKER_STATES:
                self.pool_workers.remove(*pool, endpoint, state)
