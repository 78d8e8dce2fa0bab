"""Every metric that Taskfleet exports: names, units, labels, all in this module.

Base units, prefix ``taskfleet_``, and only the labels below: never a task id or a tenant. Series that can be known
beforehand exist at 0 from the start, so that a rate over them is right from the first event.
"""

from collections.abc import Collection, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from taskfleet.core.outcome import EndpointDown, Fatal, Ok, Outcome, RateLimited, Retry
from taskfleet.core.settlement import Verdict
from taskfleet.core.task import LeasedTask, Priority, TaskState

QUEUE = ("namespace", "queue")
ENDPOINT = ("namespace", "queue", "pool", "endpoint")

QUEUE_SECONDS_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 28800)
RUN_SECONDS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
REACTION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)

OUTCOMES: Mapping[type[Outcome], str] = {
    Ok: "ok",
    Retry: "retry",
    Fatal: "fatal",
    RateLimited: "rate_limited",
    EndpointDown: "endpoint_down",
}
RETRY_REASONS: Mapping[type[Outcome], str] = {kind: OUTCOMES[kind] for kind in (Retry, RateLimited, EndpointDown)}
FINISHED = {Verdict.COMPLETE: "completed", Verdict.FAIL: "failed", Verdict.CANCEL: "cancelled"}
FINAL_STATES = tuple(state.value for state in TaskState if state.is_final)


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
        models: Collection[str] = (),
    ) -> None:
        fixed = (namespace, queue, pool, endpoint)
        self.registry = registry
        self.attempts = Counter(
            "taskfleet_task_attempts", "Attempts that ended, by outcome.", (*ENDPOINT, "outcome"), registry=registry
        )
        self.finished = Counter(
            "taskfleet_tasks_finished",
            "Tasks that this worker ended for good.",
            (*ENDPOINT, "outcome"),
            registry=registry,
        )
        self.retries = Counter(
            "taskfleet_task_retries",
            "Tasks sent back to the queue, by reason.",
            (*ENDPOINT, "reason"),
            registry=registry,
        )
        self.tokens = Counter(
            "taskfleet_tokens", "Tokens counted by the model server.", (*ENDPOINT, "direction"), registry=registry
        )
        self.queue_seconds = Histogram(
            "taskfleet_task_queue_seconds",
            "Time from enqueue to claim.",
            (*ENDPOINT, "model", "priority"),
            buckets=QUEUE_SECONDS_BUCKETS,
            registry=registry,
        )
        self.run_seconds = Histogram(
            "taskfleet_task_run_seconds",
            "Time of one attempt.",
            (*ENDPOINT, "model"),
            buckets=RUN_SECONDS_BUCKETS,
            registry=registry,
        )
        inflight = Gauge("taskfleet_worker_inflight", "Tasks running in this worker.", ENDPOINT, registry=registry)
        slots = Gauge("taskfleet_worker_slots", "Tasks that this worker can run at once.", ENDPOINT, registry=registry)
        store_up = Gauge("taskfleet_store_up", "1 when the last call to the store worked, else 0.", registry=registry)
        self.labels = fixed
        self.inflight = inflight.labels(*fixed)
        self.slots = slots.labels(*fixed)
        self.store_up = store_up
        for outcome in OUTCOMES.values():
            self.attempts.labels(*fixed, outcome)
        for outcome in FINISHED.values():
            self.finished.labels(*fixed, outcome)
        for reason in (*RETRY_REASONS.values(), "drained"):
            self.retries.labels(*fixed, reason)
        for direction in ("input", "output"):
            self.tokens.labels(*fixed, direction)
        for model in models:
            self.run_seconds.labels(*fixed, model)
            for priority in Priority:
                self.queue_seconds.labels(*fixed, model, priority.label)

    def claimed(self, task: LeasedTask) -> None:
        waited = max(task.claimed_at - task.enqueued_at, 0.0)
        self.queue_seconds.labels(*self.labels, task.model, task.priority.label).observe(waited)

    def attempted(self, model: str, outcome: Outcome, verdict: Verdict, seconds: float) -> None:
        """An attempt ended by itself, and what follows for its task."""
        self.attempts.labels(*self.labels, OUTCOMES[type(outcome)]).inc()
        self.run_seconds.labels(*self.labels, model).observe(seconds)
        if verdict in (Verdict.RETRY, Verdict.RELEASE):
            self.retries.labels(*self.labels, RETRY_REASONS[type(outcome)]).inc()
        if isinstance(outcome, Ok):
            self.tokens.labels(*self.labels, "input").inc(outcome.usage.input_tokens)
            self.tokens.labels(*self.labels, "output").inc(outcome.usage.output_tokens)

    def drained(self) -> None:
        """A running task was handed back because the worker goes away."""
        self.retries.labels(*self.labels, "drained").inc()

    def settled(self, verdict: Verdict) -> None:
        """The store has taken a verdict; only final ones are counted here."""
        if verdict in FINISHED:
            self.finished.labels(*self.labels, FINISHED[verdict]).inc()


class ControllerMetrics:
    """What the controller shows of queues, pools and itself. ``forget_*`` removes the series of deleted objects."""

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
        self.enqueued = Gauge(  # counted in the store: exported as it stands there, and named as the counter it is
            "taskfleet_tasks_enqueued_total", "Tasks accepted since the queue exists.", QUEUE, registry=registry
        )
        self.lease_expired = Gauge(
            "taskfleet_lease_expired_total", "Leases of silent workers that were taken back.", QUEUE, registry=registry
        )
        self.pool_workers = Gauge(
            "taskfleet_pool_workers", "Workers of an endpoint, by state.", (*ENDPOINT, "state"), registry=registry
        )
        self.pool_desired = Gauge(
            "taskfleet_pool_desired_workers", "Workers that the last plan asked for.", ENDPOINT, registry=registry
        )
        self.endpoint_healthy = Gauge(
            "taskfleet_endpoint_healthy", "1 when the endpoint answers its probe, else 0.", ENDPOINT, registry=registry
        )
        self.scale_decisions = Counter(
            "taskfleet_scale_decisions",
            "Changes of the number of workers, by direction and reason.",
            ("namespace", "queue", "pool", "direction", "reason"),
            registry=registry,
        )
        self.scale_reaction = Histogram(
            "taskfleet_scale_reaction_seconds",
            "Time from the wake-up of an empty pool's queue to its workers being asked for.",
            ("namespace", "queue", "pool"),
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
        for kind in ("TaskQueue", "WorkerPool"):
            for outcome in ("ok", "error"):
                self.reconciles.labels(kind, outcome)

    def open_queue(self, namespace: str, queue: str) -> None:
        """Create the series of a queue at 0."""
        for state in TaskState:
            self.queue_tasks.labels(namespace, queue, state.value)
        for priority in Priority:
            self.queue_depth.labels(namespace, queue, priority.label)
        for metric in (self.oldest_pending, self.enqueued, self.lease_expired):
            metric.labels(namespace, queue)
