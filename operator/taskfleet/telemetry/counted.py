"""Counters that are written down elsewhere, and shown when they are asked for: one object for all of their series."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from taskfleet.core.task import QueueKey
from taskfleet.telemetry.labels import POOL, QUEUE, PoolLabels

# Why a plan may change a number of workers (core/needs.py, core/plan.py). A store that is away has reasons of its own,
# which change workers only when someone lowers a maximum meanwhile.
SCALE_REASONS = (
    "Backlog",
    "ColdStart",
    "Idle",
    "ScaleDownDelayed",
    "PoolMaxWorkers",
    "PoolMinWorkers",
    "EndpointMaxWorkers",
    "EndpointRateLimit",
    "EndpointUnhealthy",
    "External",
    "AwaitsHPA",
    "KeptByHPA",
    "QueueNotFound",
    "QueueOnHold",
    "Draining",
    "Drained",
)
SCALE_DIRECTIONS = ("up", "down")


class ScaleDecisions(Collector):
    """Changes of the number of workers. Every pool has 32 series of them, nearly all at 0: kept as counters of their
    own they would be most of what a controller of many pools holds in memory."""

    _NONE = dict.fromkeys(((direction, reason) for direction in SCALE_DIRECTIONS for reason in SCALE_REASONS), 0)

    def __init__(self, registry: CollectorRegistry) -> None:
        self._made: dict[PoolLabels, dict[tuple[str, str], int]] = {}
        registry.register(self)

    def open(self, pool: PoolLabels) -> None:
        self._made.setdefault(pool, {})

    def forget(self, pool: PoolLabels) -> None:
        self._made.pop(pool, None)

    def made(self, pool: PoolLabels, direction: str, reason: str) -> None:
        """A decision was carried out; of a pool that is gone meanwhile nothing is counted."""
        if (made := self._made.get(pool)) is not None:
            made[direction, reason] = made.get((direction, reason), 0) + 1

    def collect(self) -> Iterator[CounterMetricFamily]:
        text = "Changes of the number of workers, by direction and reason."
        family = CounterMetricFamily("taskfleet_scale_decisions", text, labels=(*POOL, "direction", "reason"))
        for pool, made in self._made.items():
            for decision, number in (self._NONE | made).items():
                family.add_metric((*pool, *decision), number)
        yield family


class StoreTotals(Collector):
    """Totals that the store counts, exported as the counters they are: they survive every restart of ours."""

    _FAMILIES: Mapping[str, tuple[str, str]] = {
        "enqueued": ("taskfleet_tasks_enqueued", "Tasks accepted since the queue exists."),
        "lease_expired": ("taskfleet_lease_expired", "Leases of silent workers that were taken back."),
    }

    def __init__(self, registry: CollectorRegistry) -> None:
        self._shown: dict[QueueKey, tuple[Mapping[str, int], Mapping[str, int]]] = {}
        registry.register(self)

    def show(self, queue: QueueKey, counters: Mapping[str, int], finished: Mapping[str, int]) -> None:
        """``finished``: tasks that ended, by outcome."""
        self._shown[queue] = counters, finished

    def forget(self, queue: QueueKey) -> None:
        self._shown.pop(queue, None)

    def collect(self) -> Iterator[CounterMetricFamily]:
        for counter, (name, text) in self._FAMILIES.items():
            family = CounterMetricFamily(name, text, labels=QUEUE)
            for queue, (counters, _) in self._shown.items():
                family.add_metric((queue.namespace, queue.name), counters.get(counter, 0))
            yield family
        # Exported here alone, from the store's own count, with no label of a pool: the store ends tasks that no worker
        # has (expired, lost, cancelled while they waited), and a worker that leaves takes what was not scraped along.
        # What an endpoint does is in taskfleet_task_attempts_total.
        ended = CounterMetricFamily("taskfleet_tasks_finished", "Tasks that ended.", labels=(*QUEUE, "outcome"))
        for queue, (_, finished) in self._shown.items():
            for outcome, number in finished.items():
                ended.add_metric((queue.namespace, queue.name, outcome), number)
        yield ended
