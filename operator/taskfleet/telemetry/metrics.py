"""Every metric that Taskfleet exports: names, units, labels, all in this module.

Base units, prefix ``taskfleet_``, and only the labels below: never a task id or a tenant. Series that can be known
beforehand exist at 0 from the start, so that a rate over them is right from the first event.
"""

from collections.abc import Collection, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, disable_created_metrics
from prometheus_client.registry import Collector

from taskfleet.core.names import METRIC_NEEDED_WORKERS
from taskfleet.core.outcome import EndpointDown, Fatal, Ok, Outcome, RateLimited, Retry
from taskfleet.core.ratelimit import NO_LIMITS, RateLimits
from taskfleet.core.settlement import QueueStats, Verdict
from taskfleet.core.task import LeasedTask, Priority, QueueKey, TaskState
from taskfleet.telemetry.counted import POOL, QUEUE, PoolLabels, ScaleDecisions, StoreTotals

disable_created_metrics()  # type: ignore[no-untyped-call]  # has no types; without it each counter is two series

ENDPOINT = (*POOL, "endpoint")

EndpointLabels = tuple[str, str, str, str]

QUEUE_SECONDS_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 28800)
RUN_SECONDS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
REACTION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)

OUTCOMES: Mapping[type[Outcome], str] = {
    Ok: "ok",
    Retry: "retry",
    Fatal: "fatal",
    RateLimited: "rate_limited",
    EndpointDown: "endpoint_down",
}
RETRY_REASONS: Mapping[type[Outcome], str] = {kind: OUTCOMES[kind] for kind in (Retry, RateLimited, EndpointDown)}
FINISHED = tuple(state.value for state in TaskState if state.is_final)
WORKER_STATES = ("ready", "starting")


class WorkerMetrics:
    """What one worker process counts itself. Labels of its endpoint are fixed for its life."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        namespace: str,
        queue: str,
        pool: str,
        endpoint: str,
        models: Collection[str],
        prices: tuple[float, float] = (0.0, 0.0),
        limits: RateLimits = NO_LIMITS,
    ) -> None:
        """``prices``: dollars for a million input tokens, and for a million output tokens."""
        fixed = (namespace, queue, pool, endpoint)
        attempts = Counter(
            "taskfleet_task_attempts", "Attempts that ended, by outcome.", (*ENDPOINT, "outcome"), registry=registry
        )
        retries = Counter(
            "taskfleet_task_retries",
            "Tasks sent back to the queue, by reason.",
            (*ENDPOINT, "reason"),
            registry=registry,
        )
        tokens = Counter(
            "taskfleet_tokens", "Tokens counted by the model server.", (*ENDPOINT, "direction"), registry=registry
        )
        cost = Counter(
            "taskfleet_cost_dollars", "What the tokens cost by the endpoint's prices.", ENDPOINT, registry=registry
        )
        queue_seconds = Histogram(
            "taskfleet_task_queue_seconds",
            "Time from enqueue to claim.",
            (*ENDPOINT, "model", "priority"),
            buckets=QUEUE_SECONDS_BUCKETS,
            registry=registry,
        )
        run_seconds = Histogram(
            "taskfleet_task_run_seconds",
            "Time of one attempt.",
            (*ENDPOINT, "model"),
            buckets=RUN_SECONDS_BUCKETS,
            registry=registry,
        )
        inflight = Gauge("taskfleet_worker_inflight", "Tasks running in this worker.", ENDPOINT, registry=registry)
        slots = Gauge(
            "taskfleet_worker_slots",
            "Tasks that this worker may run at once now: its concurrency, or less while the endpoint refuses.",
            ENDPOINT,
            registry=registry,
        )
        store_up = Gauge("taskfleet_store_up", "1 when the last call to the store worked, else 0.", registry=registry)
        limiter = Gauge(
            "taskfleet_endpoint_limiter_available",
            "Requests and tokens that the endpoint's rate limit has left, when this worker last asked.",
            (*ENDPOINT, "kind"),
            registry=registry,
        )
        self._limiter = {
            kind: limiter.labels(*fixed, kind)
            for kind, most in (("requests", limits.requests), ("tokens", limits.tokens))
            if most is not None
        }
        self.inflight = inflight.labels(*fixed)
        self.slots = slots.labels(*fixed)
        self.store_up = store_up
        # Looked up once: finding a series by its labels costs more than counting in it.
        self._attempts = {kind: attempts.labels(*fixed, word) for kind, word in OUTCOMES.items()}
        self._retries = {kind: retries.labels(*fixed, word) for kind, word in RETRY_REASONS.items()}
        self._drained = retries.labels(*fixed, "drained")
        self._prices = prices
        self._cost = cost.labels(*fixed)
        self._tokens_input = tokens.labels(*fixed, "input")
        self._tokens_output = tokens.labels(*fixed, "output")
        self._run_seconds = {model: run_seconds.labels(*fixed, model) for model in models}
        self._queue_seconds = {
            (model, priority): queue_seconds.labels(*fixed, model, priority.label)
            for model in models
            for priority in Priority
        }

    def claimed(self, task: LeasedTask, model: str) -> None:
        """A task came from the queue, to be served by ``model``."""
        self._queue_seconds[model, task.priority].observe(max(task.claimed_at - task.enqueued_at, 0.0))

    def attempted(self, model: str, outcome: Outcome, verdict: Verdict, seconds: float) -> None:
        """An attempt ended by itself, and what follows for its task."""
        self._attempts[type(outcome)].inc()
        self._run_seconds[model].observe(seconds)
        if verdict in (Verdict.RETRY, Verdict.RELEASE):
            self._retries[type(outcome)].inc()
        if isinstance(outcome, Ok):
            self._tokens_input.inc(outcome.usage.input_tokens)
            self._tokens_output.inc(outcome.usage.output_tokens)
            input_price, output_price = self._prices
            spent = outcome.usage.input_tokens * input_price + outcome.usage.output_tokens * output_price
            if spent:
                self._cost.inc(spent / 1_000_000)

    def limiter_available(self, kind: str, left: int) -> None:
        """What is left of a limit that the endpoint has; ``kind`` is requests or tokens."""
        self._limiter[kind].set(left)

    def drained(self) -> None:
        """A running task was handed back because the worker goes away."""
        self._drained.inc()


class GatewayMetrics:
    """What one gateway process counts. ``route`` is the pattern of a path, never what a client wrote."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "taskfleet_gateway_requests", "Requests answered, by status.", ("route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "taskfleet_gateway_request_seconds",
            "Time from a request's head to its answer.",
            ("route",),
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self.webhooks = Counter(
            "taskfleet_gateway_webhooks",
            "Attempts to deliver a webhook, by what became of it: delivered, retried, given_up.",
            ("outcome",),
            registry=registry,
        )
        for outcome in ("delivered", "retried", "given_up"):
            self.webhooks.labels(outcome)
        self.store_up = Gauge(
            "taskfleet_store_up", "1 when the last call to the store worked, else 0.", registry=registry
        )

    def open_route(self, route: str) -> None:
        """Create the series of a route at 0."""
        self._seconds.labels(route)
        self._requests.labels(route, "200")

    def answered(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


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
        self.store_up = Gauge(
            "taskfleet_store_up", "1 when the last call to the store worked, else 0.", registry=registry
        )
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


class LeaderMetrics(Collector):
    """What each of several controllers shows, whether it acts or stands by.

    The metrics of queues and pools are those of ``acting``: one that stands by knows nothing of them, and its zeros
    would be taken for the truth.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._leader = Gauge(
            "taskfleet_controller_leader", "1 while this controller acts, 0 while it stands by.", registry=registry
        )
        self._acting: CollectorRegistry | None = None
        registry.register(self)

    def show(self, acting: CollectorRegistry | None) -> None:
        """This controller acts from now on and ``acting`` has its metrics; None: it stands by."""
        self._acting = acting
        self._leader.set(acting is not None)

    def collect(self) -> Iterable[Metric]:
        return () if self._acting is None else self._acting.collect()
