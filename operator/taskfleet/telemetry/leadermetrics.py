"""Who of several controllers acts."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.registry import Collector


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
