"""Which Services of a namespace are endpoints of a pool, and why others are not. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from taskfleet.api.discovery import Discovery
from taskfleet.api.endpoint import MAX_ENDPOINT_NAME, Endpoint
from taskfleet.api.workerpool import MAX_ENDPOINTS, WorkerPool
from taskfleet.controller.cluster.cache import Object
from taskfleet.core.conditions import Condition, Status
from taskfleet.core.needs import count

_MOST_TOLD = 3


@dataclass(frozen=True, slots=True)
class Found:
    """``endpoints`` in the order of their names; ``condition`` is what people read of the search."""

    endpoints: Sequence[Endpoint]
    condition: Condition


def find_endpoints(pool: WorkerPool, discovery: Discovery, services: Iterable[Object]) -> Found:
    """``services`` are those of any namespaces. One that is being deleted is as good as gone."""
    namespace, wanted = pool.metadata.namespace, discovery.selector.match_labels
    matching = {
        str(service["metadata"]["name"]): service
        for service in services
        if service["metadata"]["namespace"] == namespace and _matches(service, wanted)
    }
    taken = {endpoint.name for endpoint in pool.spec.endpoints}
    room = MAX_ENDPOINTS - len(taken)
    endpoints: list[Endpoint] = []
    unusable: dict[str, str] = {}
    for name, service in sorted(matching.items()):
        port = _port(service, discovery.port)
        if name in taken:
            unusable[name] = "spec.endpoints has an endpoint of this name; rename one of them"
        elif len(name) > MAX_ENDPOINT_NAME:
            unusable[name] = f"its name is longer than the {MAX_ENDPOINT_NAME} characters of an endpoint's; rename it"
        elif port is None:
            unusable[name] = f"it has no TCP port {discovery.port}; add it, or correct spec.discovery.port"
        elif len(endpoints) >= room:
            unusable[name] = f"a pool has at most {MAX_ENDPOINTS} endpoints; use another pool for some of them"
        else:
            endpoints.append(discovery.endpoint(name, namespace, port))
    return Found(endpoints, _condition(wanted, len(endpoints), unusable))


def _matches(service: Object, wanted: Mapping[str, str]) -> bool:
    meta = service["metadata"]
    return wanted.items() <= meta.get("labels", {}).items() and not meta.get("deletionTimestamp")


def _port(service: Object, wanted: str) -> int | None:
    """The number of the port that is wanted by its number or name; None when the Service has no such port."""
    for port in service.get("spec", {}).get("ports", ()):
        if port.get("protocol", "TCP") == "TCP" and wanted in (str(port["port"]), port.get("name")):
            return int(port["port"])
    return None


def _condition(wanted: Mapping[str, str], usable: int, unusable: Mapping[str, str]) -> Condition:
    kind = "ServicesFound"
    if unusable:
        told = [f"{name}: {why}" for name, why in unusable.items()]
        more = [f"and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
        text = f"{count(len(told), 'Service')} cannot be used: {'; '.join([*told[:_MOST_TOLD], *more])}"
        return Condition(kind, Status.FALSE, "ServicesUnusable", text)
    labels = ", ".join(f"{key}={value}" for key, value in sorted(wanted.items()))
    if not usable:
        text = f"no Service of this namespace has the labels {labels}; add them, or correct spec.discovery.selector"
        return Condition(kind, Status.FALSE, "NoServiceMatches", text)
    return Condition(kind, Status.TRUE, "Found", f"{count(usable, 'Service')} with the labels {labels}")
