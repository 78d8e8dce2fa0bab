"""The metric of pools, out of their status, in the form of external.metrics.k8s.io/v1beta1. No I/O."""

from collections.abc import Sequence
from typing import Any

from taskfleet.core.errors import InputError, TaskfleetError
from taskfleet.core.names import METRIC_LABEL_POOL, METRIC_LABEL_QUEUE, METRIC_NEEDED_WORKERS

GROUP_VERSION = "external.metrics.k8s.io/v1beta1"

Object = dict[str, Any]


class NoValue(TaskfleetError):
    """There is a pool, and nothing can be said of it now. Whoever asks keeps the workers that there are."""

    code = "no_metric_value"


def resources() -> Object:
    """What this API serves, for the API server's discovery."""
    metric = {
        "name": METRIC_NEEDED_WORKERS,
        "singularName": "",
        "namespaced": True,
        "kind": "ExternalMetricValueList",
        "verbs": ["get"],
    }
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP_VERSION, "resources": [metric]}


def selected(selector: str) -> dict[str, str]:
    """The labels that a selector asks for. Raises InputError for one that this API does not know."""
    wanted: dict[str, str] = {}
    for part in filter(None, selector.split(",")):
        label, sign, value = part.partition("=")
        if label not in (METRIC_LABEL_POOL, METRIC_LABEL_QUEUE) or not sign or "!" in label:
            raise InputError(
                f"labelSelector: {part!r} is not known; select by {METRIC_LABEL_POOL}=NAME, {METRIC_LABEL_QUEUE}=NAME "
                "or both"
            )
        wanted[label] = value.removeprefix("=")
    return wanted


def needed_workers(pools: Sequence[Object], wanted: dict[str, str], now: str) -> Object:
    """One value for each of these pools whose labels are the wanted ones; an HPA adds them up.

    Raises NoValue when one of them has no value or none is there: a sum without it would take workers away. ``now``:
    the time to be shown.
    """
    values = [value for pool in pools if (value := _value(pool, now))["metricLabels"].items() >= wanted.items()]
    if not values:
        told = ", ".join(f"{label}={value}" for label, value in wanted.items()) or "any name"
        raise NoValue(f"this namespace has no WorkerPool with {told}")
    unknown = [pool for pool in pools if _needed(pool) is None and _labels(pool).items() >= wanted.items()]
    if unknown:
        raise NoValue(f"the need of the WorkerPool {unknown[0]['metadata']['name']} is not known: {_why(unknown[0])}")
    return {"kind": "ExternalMetricValueList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": values}


def _value(pool: Object, now: str) -> Object:
    return {
        "metricName": METRIC_NEEDED_WORKERS,
        "metricLabels": _labels(pool),
        "timestamp": now,
        "value": str(_needed(pool)),
    }


def _labels(pool: Object) -> dict[str, str]:
    return {METRIC_LABEL_POOL: pool["metadata"]["name"], METRIC_LABEL_QUEUE: pool["spec"]["queueRef"]["name"]}


def _needed(pool: Object) -> int | None:
    needed: int | None = pool.get("status", {}).get("neededReplicas")
    return needed


def _why(pool: Object) -> str:
    for condition in pool.get("status", {}).get("conditions", ()):
        if condition["type"] == "ScalingActive":
            return str(condition["message"])
    return "the controller has not looked at it yet"
