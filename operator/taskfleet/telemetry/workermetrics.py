"""What a worker counts."""

from collections.abc import Collection, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from taskfleet.core.outcome import EndpointDown, Fatal, Ok, Outcome, RateLimited, Retry
from taskfleet.core.ratelimit import NO_LIMITS, RateLimits
from taskfleet.core.settlement import Verdict
from taskfleet.core.task import LeasedTask, Priority
from taskfleet.telemetry.labels import ENDPOINT, store_up

QUEUE_SECONDS_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 28800)
RUN_SECONDS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

OUTCOMES: Mapping[type[Outcome], str] = {
    Ok: "ok",
    Retry: "retry",
    Fatal: "fatal",
    RateLimited: "rate_limited",
    EndpointDown: "endpoint_down",
}
RETRY_REASONS: Mapping[type[Outcome], str] = {kind: OUTCOMES[kind] for kind in (Retry, RateLimited, EndpointDown)}


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
        self.store_up = store_up(registry)
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
