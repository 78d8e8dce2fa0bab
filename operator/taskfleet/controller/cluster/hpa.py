"""HorizontalPodAutoscalers: our own for a pool in mode HPA, what it says of itself, and those of others. No I/O."""

from collections.abc import Collection, Iterable
from typing import Any

from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.cluster.cache import Object
from taskfleet.controller.cluster.objects import owner_of
from taskfleet.core.names import (
    API_VERSION,
    FIELD_MANAGER,
    GROUP,
    LABEL_MANAGED_BY,
    LABEL_POOL,
    METRIC_LABEL_POOL,
    METRIC_NEEDED_WORKERS,
    autoscaler_name,
)
from taskfleet.core.pool import AutoscalingMode

_POLICY_SECONDS = 15
_SCALED_OBJECT = "scaledobject.keda.sh/name"
# At zero workers Kubernetes calls an HPA disabled; so it is, for then the controller acts.
_AT_ZERO = "ScalingDisabled"


def pool_autoscaler(pool: WorkerPool) -> Object:
    """Its HPA: as many workers as the metric says, at once upwards, and down after the pool's delay.

    Never to zero, also where an HPA could: it would look every 15 seconds and not know of ``scaleToZeroDelay``.
    """
    scaling = pool.spec.autoscaling
    up = {"type": "Pods", "value": scaling.max_workers, "periodSeconds": _POLICY_SECONDS}
    down = {"type": "Percent", "value": 100, "periodSeconds": _POLICY_SECONDS}
    metric = {"name": METRIC_NEEDED_WORKERS, "selector": {"matchLabels": {METRIC_LABEL_POOL: pool.metadata.name}}}
    return {
        "metadata": {
            "name": autoscaler_name(pool.metadata.name),
            "namespace": pool.metadata.namespace,
            "labels": {LABEL_MANAGED_BY: FIELD_MANAGER, LABEL_POOL: pool.metadata.name},
            "ownerReferences": [owner_of(pool)],
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": API_VERSION, "kind": "WorkerPool", "name": pool.metadata.name},
            "minReplicas": max(1, scaling.min_workers),
            "maxReplicas": scaling.max_workers,
            "metrics": [
                {
                    "type": "External",
                    "external": {"metric": metric, "target": {"type": "AverageValue", "averageValue": "1"}},
                }
            ],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [up]},
                "scaleDown": {
                    "stabilizationWindowSeconds": round(scaling.scale_down_delay.seconds),
                    "policies": [down],
                },
            },
        },
    }


def holds(live: Any, wanted: Any) -> bool:
    """Whether everything that is wanted stands in a live object, whatever else does."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(key in live and holds(live[key], each) for key, each in wanted.items())
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(holds, live, wanted))
    return bool(live == wanted)


def trouble_of(autoscaler: Object) -> str:
    """Why an HPA does not scale, in its own words; "" while it does, or has not looked yet."""
    for condition in autoscaler.get("status", {}).get("conditions", ()):
        telling = condition.get("type") in ("AbleToScale", "ScalingActive") and condition.get("status") == "False"
        if telling and condition.get("reason") != _AT_ZERO:
            name = autoscaler["metadata"]["name"]
            return f"the HPA {name} says: {condition.get('reason')}: {condition.get('message')}"
    return ""


def second_autoscaler(pool: WorkerPool, deployments: Collection[str], autoscalers: Iterable[Object]) -> str:
    """Who scales the pool or one of its ``deployments`` although somebody else does, in words; "" when nobody."""
    namespace, name = pool.metadata.namespace, pool.metadata.name
    others = [each for each in autoscalers if each["metadata"]["namespace"] == namespace and not _is_ours(each, pool)]
    of_deployments = [each for each in others if target_deployment(each) in deployments]
    of_pool = " and ".join(_called(each) for each in others if target_pool(each) == name)
    if of_deployments:
        told = ", ".join(f"{_called(each)} scales the Deployment {target_deployment(each)}" for each in of_deployments)
        return (
            f"{told}, which the controller writes and sets back; delete it, or set autoscaling.mode to External and "
            f"let it scale the WorkerPool {name}"
        )
    if pool.spec.autoscaling.mode is AutoscalingMode.EXTERNAL:
        return f"{of_pool} all write spec.replicas of this pool; leave one of them" if " and " in of_pool else ""
    if of_pool:
        return (
            f"{of_pool} would write spec.replicas of this pool; delete it, or set autoscaling.mode to External to "
            "leave the number of workers to it"
        )
    return ""


def target_pool(autoscaler: Object) -> str | None:
    """The name of the WorkerPool that an HPA scales, if it does."""
    return _target(autoscaler, "WorkerPool", GROUP)


def target_deployment(autoscaler: Object) -> str | None:
    """The name of the Deployment that an HPA scales, if it does."""
    return _target(autoscaler, "Deployment", "apps")


def _target(autoscaler: Object, kind: str, group: str) -> str | None:
    reference = autoscaler["spec"]["scaleTargetRef"]
    of_group = str(reference.get("apiVersion", "")).startswith(f"{group}/")
    return str(reference["name"]) if reference["kind"] == kind and of_group else None


def _is_ours(autoscaler: Object, pool: WorkerPool) -> bool:
    meta = autoscaler["metadata"]
    return any(owner["uid"] == pool.metadata.uid for owner in meta.get("ownerReferences", ()))


def _called(autoscaler: Object) -> str:
    meta = autoscaler["metadata"]
    scaled_object = meta.get("labels", {}).get(_SCALED_OBJECT)
    return f"the HPA {meta['name']}" + (f" of KEDA's ScaledObject {scaled_object}" if scaled_object else "")
