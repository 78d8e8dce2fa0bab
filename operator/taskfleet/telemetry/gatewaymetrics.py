"""What a gateway counts."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from taskfleet.telemetry.labels import store_up

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


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
        self.store_up = store_up(registry)

    def open_route(self, route: str) -> None:
        """Create the series of a route at 0."""
        self._seconds.labels(route)
        self._requests.labels(route, "200")

    def answered(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
