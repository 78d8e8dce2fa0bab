"""Queues and who serves them, as the API shows them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from taskfleet.core.explanation import Scene, concerns
from taskfleet.core.settlement import QueueStats, seconds_to_serve
from taskfleet.core.wiretime import wire_time
from taskfleet.gateway.queues import OpenQueue

_OF_ENDPOINTS = ("healthy", "workers", "ready", "inflight", "latencySeconds", "tasksPerMinute", "message")
_NAMES = {"latencySeconds": "latency_seconds", "tasksPerMinute": "tasks_per_minute", "message": "why"}
_LIMITS = {
    "concurrency": "concurrency",
    "maxWorkers": "max_workers",
    "requestsPerMinute": "requests_per_minute",
    "tokensPerMinute": "tokens_per_minute",
}


def queue_object(queue: OpenQueue) -> dict[str, Any]:
    return {
        "id": str(queue.key),
        "object": "queue",
        "models": [model.name for model in queue.spec.models],
        "default_model": queue.spec.default_lane,
        "execution": queue.spec.execution.value,
        "stop_policy": queue.spec.stop_policy.value,
        "workers": len(queue.workers),
        "trouble": queue.trouble or None,
        **numbers(queue.stats),
    }


def numbers(stats: QueueStats) -> dict[str, Any]:
    found = asdict(stats)
    for name in ("oldest_pending_at", "next_due_at", "now", "paused_until"):
        found[name] = None if found[name] is None else wire_time(found[name])
    return found


def overview_object(queue: OpenQueue, scene: Scene) -> dict[str, Any]:
    """A queue with its pace, what keeps it from its work, and its pools. Without ``now``: nothing in it changes by
    itself."""
    waiting = queue.stats.pending + queue.stats.scheduled
    shown = queue_object(queue) | {
        "tasks_per_minute": round(sum(report.tasks_per_minute for report in queue.workers), 2),
        "seconds_left": seconds_to_serve(waiting, queue.workers) if waiting else None,
        "why": concerns(queue.key.name, scene),
        "pools": pool_objects(scene),
    }
    del shown["now"]
    return shown


def pool_objects(scene: Scene) -> list[dict[str, Any]]:
    """The pools that serve a queue, by name, with their endpoints."""
    return [_pool(name, status, scene) for name, status in sorted(scene.pools().items())]


def _pool(name: str, status: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
    limits = status.get("limits", {})
    return {
        "name": name,
        "workers": status.get("replicas", 0),
        "ready": status.get("readyReplicas", 0),
        "desired": status.get("desiredReplicas", 0),
        "last_change": status.get("lastScaleReason") or None,
        "endpoints": [
            _endpoint(each, limits.get(each["name"], {}), _called_here(scene, name, each["name"]))
            for each in status.get("endpoints", ())
        ],
    }


def _endpoint(status: Mapping[str, Any], spec: Mapping[str, Any], called_here: int) -> dict[str, Any]:
    shown = {_NAMES.get(name, name): status.get(name) for name in _OF_ENDPOINTS}
    limits = spec | spec.get("rateLimit", {})
    return {
        "name": status["name"],
        **shown,
        "inflight_of_gateways": called_here,
        "models": spec.get("models", []),
        "limits": {name: limits[field] for field, name in _LIMITS.items() if field in limits},
    }


def _called_here(scene: Scene, pool: str, endpoint: str) -> int:
    calls: Sequence[int] = [
        report.inflight
        for report in scene.reports
        if report.gateway and (report.pool, report.endpoint) == (pool, endpoint)
    ]
    return sum(calls)
