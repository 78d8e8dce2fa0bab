"""Metrics of several registries as those of one process."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

_OF_THE_PROCESS = frozenset({"taskfleet_store_up"})  # without labels: each process says it once


class Others(Collector):
    """What other parts of this process count, each in a registry of its own; they may come and go."""

    def __init__(self, registries: Callable[[], Iterable[CollectorRegistry]]) -> None:
        self._registries = registries

    def collect(self) -> Iterable[Metric]:
        found: dict[str, Metric] = {}
        for registry in self._registries():
            for metric in registry.collect():
                if metric.name not in _OF_THE_PROCESS:
                    found.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                    found[metric.name].samples.extend(metric.samples)
        return found.values()
