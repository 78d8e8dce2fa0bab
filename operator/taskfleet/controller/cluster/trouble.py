"""Why workers do not come up, in words, from what a Deployment and its pods say of themselves. No I/O."""

from collections.abc import Iterable, Mapping
from typing import Any

Object = Mapping[str, Any]

# Reasons of a waiting container that pass by themselves.
_ON_THE_WAY = frozenset({"ContainerCreating", "PodInitializing"})


def deployment_trouble(deployment: Object) -> str:
    """What the Deployment itself complains of, such as a quota or a policy that forbids its pods; "" if nothing."""
    for condition in deployment.get("status", {}).get("conditions", ()):
        kind, status = condition.get("type"), condition.get("status")
        if kind == "ReplicaFailure" and status == "True":
            return f"{condition.get('reason', 'ReplicaFailure')}: {condition.get('message', '')}"
    return ""


def pods_trouble(pods: Iterable[Object]) -> str:
    """The trouble of the first pod, by name, that has any, and how many have: "" when all is well or on its way."""
    troubles = [
        trouble for pod in sorted(pods, key=lambda pod: pod["metadata"]["name"]) if (trouble := _pod_trouble(pod))
    ]
    if not troubles:
        return ""
    others = f" (and {len(troubles) - 1} more pods)" if len(troubles) > 1 else ""
    return f"{troubles[0]}{others}"


def _pod_trouble(pod: Object) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        return ""
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason', 'Unschedulable')}: {condition.get('message', '')}"
    servers = status.get("initContainerStatuses", ())
    for container in (*servers, *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting", {})
        reason = waiting.get("reason", "")
        if reason and reason not in _ON_THE_WAY:
            return f"{reason}: {_ending(container) or waiting.get('message', '')}"
    for server in servers:
        if server.get("started") is False and (ending := _ending(server)):
            return f"NotAnswering: it runs again and does not answer yet; before that {ending}"
    return ""


def _ending(container: Object) -> str:
    """How the container ended last time: more telling than that Kubernetes waits before the next start."""
    last = container.get("lastState", {}).get("terminated", {})
    if not last:
        return ""
    said = str(last.get("message", "")).strip().splitlines()
    detail = f": {said[-1]}" if said else ""
    who, code = container.get("name", "worker"), last.get("exitCode")
    return f"the {who} ended with exit code {code} ({last.get('reason', 'Error')}){detail}"
