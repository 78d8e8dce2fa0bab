"""Events: what became different between two written statuses that a person would want to be told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_BY_FALLBACK = "ServedByFallback"
_TOLD_REASONS = ("Deleting", "DeletionBlocked")


@dataclass(frozen=True, slots=True)
class News:
    reason: str
    message: str
    warning: bool


def queue_news(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[News]:
    """The store lost and back, a model without endpoint, fallbacks, and the steps of a deletion."""
    return list(_queue_news(_conditions(before), _conditions(after)))


def _queue_news(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    reachable, was_reachable = after["StoreReachable"], before.get("StoreReachable", {})
    if reachable["status"] == "False" and was_reachable.get("reason") != reachable["reason"]:
        yield News(reachable["reason"], reachable["message"], warning=True)
    if reachable["status"] == "True" and was_reachable.get("status") == "False":
        yield News("StoreReachable", "the store answers again", warning=False)
    served = after["Served"]
    was_served = before.get("Served", {})
    if served["status"] == "False" and was_served.get("status") != "False":
        yield News(served["reason"], served["message"], warning=True)
    if served["reason"] == _BY_FALLBACK and was_served.get("message") != served["message"]:
        yield News(_BY_FALLBACK, served["message"], warning=True)
    if served["reason"] == "Served" and was_served.get("reason") == _BY_FALLBACK:
        yield News("Served", "every model is served by its own endpoints again", warning=False)
    ready = after["Ready"]
    if ready["reason"] in _TOLD_REASONS and before.get("Ready", {}).get("reason") != ready["reason"]:
        yield News(ready["reason"], ready["message"], warning=ready["reason"] == "DeletionBlocked")


def pool_news(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[News]:
    """Endpoints that became unhealthy or healthy again, workers that do not start, Services that cannot be used."""
    return list(_pool_news(before, after))


def _pool_news(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    was = {endpoint["name"]: endpoint.get("healthy") for endpoint in before.get("endpoints", ())}
    for endpoint in after["endpoints"]:
        name, healthy = endpoint["name"], endpoint.get("healthy")
        if healthy is False and was.get(name) is not False:
            yield News("EndpointUnhealthy", f"{name}: {endpoint['message']}", warning=True)
        if healthy and was.get(name) is False:
            yield News("EndpointHealthy", f"{name}: the endpoint answers its probe again", warning=False)
    ready, was_ready = _conditions(after)["Ready"], _conditions(before).get("Ready", {})
    if ready["reason"] == "WorkersNotStarting" and was_ready.get("reason") != "WorkersNotStarting":
        yield News("WorkersNotStarting", ready["message"], warning=True)
    found, was_found = (_conditions(status).get("ServicesFound", {}) for status in (after, before))
    if found.get("status") == "False" and found["message"] != was_found.get("message"):
        yield News(found["reason"], found["message"], warning=True)


def _conditions(status: Mapping[str, Any]) -> dict[str, Any]:
    return {condition["type"]: condition for condition in status.get("conditions", ())}
