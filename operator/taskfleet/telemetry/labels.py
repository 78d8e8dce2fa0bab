"""How all metrics of Taskfleet are named: base units, the prefix ``taskfleet_``, and only these labels: never a task id
or a tenant. Series that can be known beforehand exist at 0 from the start, so that a rate over them is right from the
first event.

Each process has its metrics in a module of its own: ``workermetrics``, ``gatewaymetrics``, ``controllermetrics``.
"""

from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # has no types; without it each counter is two series

QUEUE = ("namespace", "queue")
POOL = (*QUEUE, "pool")
ENDPOINT = (*POOL, "endpoint")

PoolLabels = tuple[str, str, str]
EndpointLabels = tuple[str, str, str, str]


def store_up(registry: CollectorRegistry) -> Gauge:
    """The one metric that every process has."""
    return Gauge("taskfleet_store_up", "1 when the last call to the store worked, else 0.", registry=registry)
