"""Every series that the code exports, as the real registries of a controller, a worker and a gateway show it."""

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from taskfleet.core.ratelimit import RateLimits
from taskfleet.core.task import QueueKey
from taskfleet.telemetry.controllermetrics import ControllerMetrics
from taskfleet.telemetry.gatewaymetrics import GatewayMetrics
from taskfleet.telemetry.leadermetrics import LeaderMetrics
from taskfleet.telemetry.workermetrics import WorkerMetrics
from tests.support.promql import grouped_by, selectors

# What Prometheus adds to whatever it scrapes, as the chart's monitors make it do.
TARGET_LABELS = {"instance", "job", "pod"}


def series() -> dict[str, list[dict[str, str]]]:
    """The labels of each series, by the name of the metric."""
    registry = CollectorRegistry()
    controller = ControllerMetrics(registry)
    controller.open_queue(QueueKey("n", "q"))
    controller.open_pool(("n", "q", "p"), ["e"])
    controller.show_scaling(("n", "q", "p"), limited=False, needed=1)
    of_process = CollectorRegistry()
    LeaderMetrics(of_process).show(registry)
    of_worker = CollectorRegistry()
    WorkerMetrics(
        of_worker,
        namespace="n",
        queue="q",
        pool="p",
        endpoint="e",
        models=["m"],
        limits=RateLimits(requests=1, tokens=1),
    )
    of_gateway = CollectorRegistry()
    gateway = GatewayMetrics(of_gateway)
    gateway.answered("/v1/models", 429, 0.1)
    found: dict[str, list[dict[str, str]]] = {}
    for each in (of_process, of_worker, of_gateway):
        for family in text_string_to_metric_families(generate_latest(each).decode()):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample.labels)
    return found


def complaints(expression: str) -> list[str]:
    """What a query asks for that nothing exports, in words."""
    exported = series()
    told = []
    known: set[str] = set(TARGET_LABELS)
    for asked in selectors(expression):
        shown = exported.get(asked.metric)
        if shown is None:
            told.append(f"nothing exports {asked.metric}")
            continue
        labels = {name for each in shown for name in each}
        known |= labels
        told += [f"{asked.metric} has no label {name}" for name in asked.labels - labels - TARGET_LABELS]
        for name, value in asked.values:
            if value not in {each.get(name) for each in shown}:
                told.append(f"{asked.metric} has no {name}={value}")
    told += [f"no metric of the query has the label {name}" for name in grouped_by(expression) - known]
    return told
