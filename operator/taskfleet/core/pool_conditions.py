"""The conditions of a WorkerPool: what an outsider reads first.

``Ready`` carries the headline: its reason is one word for what the pool does now or why it stands still.
"""

from collections.abc import Iterable, Mapping

from taskfleet.core.conditions import Condition, Status
from taskfleet.core.needs import EXTERNAL_QUEUE, Need, count
from taskfleet.core.pool import AutoscalingMode, Observed, PoolPolicy, QueueObserved, Seen, StopPolicy

_MOST_ENDPOINTS_TOLD = 3
_NO_ENDPOINTS = "no endpoint is listed and no Service can be used as one; the condition ServicesFound says why"
# What describes a pool best when its endpoints differ: limits, then work, then waiting.
_HEADLINES = (
    "PoolMaxWorkers",
    "EndpointMaxWorkers",
    "EndpointRateLimit",
    "Backlog",
    "AwaitsHPA",
    "ColdStart",
    "External",
    "QueueOnHold",
    "Draining",
    "ScaleDownDelayed",
    "KeptByHPA",
    "PoolMinWorkers",
    "Drained",
    "Idle",
)
_ONE_WRITER = {
    AutoscalingMode.OPERATOR: "the controller alone decides on the number of workers",
    AutoscalingMode.HPA: "the controller's HPA writes spec.replicas from one worker on, the controller at zero; nobody "
    "else does",
    AutoscalingMode.EXTERNAL: "spec.replicas decides, and at most one autoscaler writes it",
}
# Needs of endpoints that have tasks, or may have: someone outside does not say.
_LOADED = frozenset(("Backlog", "ColdStart", "EndpointMaxWorkers", "EndpointRateLimit", "External"))


def pool_conditions(
    pool: PoolPolicy,
    observed: Observed,
    seen: Seen,
    needs: Mapping[str, Need],
    decided: Mapping[str, Need],
) -> tuple[Condition, ...]:
    """``needs`` are what the endpoints would have, ``decided`` what they get."""
    return (
        _ready(observed.queue, seen, needs, decided),
        _scaling_active(pool, observed.queue, observed.autoscalers.trouble),
        _scaling_limited(pool, needs, decided),
        _scaling_disputed(pool, observed.autoscalers.second),
        _endpoints_healthy(seen),
    )


def _ready(queue: QueueObserved, seen: Seen, needs: Mapping[str, Need], decided: Mapping[str, Need]) -> Condition:
    if not queue.exists:
        return Condition("Ready", Status.FALSE, "QueueNotFound", _queue_not_found())
    if queue.is_external:
        return Condition("Ready", Status.FALSE, "QueueIsExternal", EXTERNAL_QUEUE)
    if queue.backlog is None:
        return Condition("Ready", Status.FALSE, queue.unseen_reason, f"cannot see the queue: {queue.unseen}")
    if not seen:
        return Condition("Ready", Status.FALSE, "NoEndpoints", _NO_ENDPOINTS)
    sick = {name: endpoint.trouble for name, endpoint in seen.items() if endpoint.healthy is False}
    waiting_for_sick = [name for name, need in decided.items() if need.reason == "EndpointUnhealthy"]
    if waiting_for_sick:
        message = _tell((name, decided[name].message) for name in waiting_for_sick)
        return Condition("Ready", Status.FALSE, "EndpointUnhealthy", message)
    if len(sick) == len(seen):
        return Condition("Ready", Status.FALSE, "EndpointUnhealthy", _tell(sick.items()))
    stuck = {name: endpoint.stuck for name, endpoint in seen.items() if endpoint.stuck and not endpoint.ready}
    if stuck:
        return Condition("Ready", Status.FALSE, "WorkersNotStarting", _tell(stuck.items()))
    complaints = _complaints(seen)
    if complaints and all(name in complaints for name, need in decided.items() if need.workers):
        return Condition("Ready", Status.FALSE, "WorkersInTrouble", _tell(complaints.items()))
    return _working(queue.backlog, seen, needs, decided)


def _working(
    backlog: Mapping[str, int], seen: Seen, needs: Mapping[str, Need], decided: Mapping[str, Need]
) -> Condition:
    wanted = sum(need.workers for need in decided.values())
    if wanted and not any(endpoint.ready for endpoint in seen.values()):
        return Condition(
            "Ready", Status.FALSE, "WorkersStarting", f"{count(wanted, 'worker')} asked for, none ready yet"
        )
    loaded = [name for name, need in needs.items() if need.reason in _LOADED] if any(backlog.values()) else []
    if loaded and all(seen[name].waits for name in loaded):
        text = _tell((name, f"{decided[name].message}; its workers wait: {seen[name].waits}") for name in loaded)
        return Condition("Ready", Status.TRUE, "RateLimited", text)
    headline = min((need.reason for need in decided.values()), key=_HEADLINES.index, default="Idle")
    told = ((name, need.message) for name, need in decided.items() if need.reason == headline)
    return Condition("Ready", Status.TRUE, headline, _tell(told))


def _scaling_active(pool: PoolPolicy, queue: QueueObserved, hpa_trouble: str) -> Condition:
    kind = "ScalingActive"
    if not queue.exists:
        return Condition(kind, Status.FALSE, "QueueNotFound", _queue_not_found())
    if queue.is_external:
        return Condition(kind, Status.FALSE, "QueueIsExternal", EXTERNAL_QUEUE)
    external = pool.mode is AutoscalingMode.EXTERNAL
    if external and queue.stop is not StopPolicy.HOLD_AND_DRAIN:
        return Condition(kind, Status.FALSE, "External", f"autoscaling.mode is External: {_outside_decides(queue)}")
    if queue.backlog is None:
        text = f"cannot see the queue: {queue.unseen}; the workers stay as they are"
        return Condition(kind, Status.FALSE, queue.unseen_reason, text)
    if queue.hold:
        return Condition(kind, Status.FALSE, "QueueOnHold", queue.hold)
    if hpa_trouble:
        return Condition(kind, Status.FALSE, "HPANotScaling", hpa_trouble)
    if pool.mode is AutoscalingMode.HPA:
        text = "the number of workers follows the queue by the controller's HPA, and to and from zero by the controller"
        return Condition(kind, Status.TRUE, "FollowsHPA", text)
    return Condition(kind, Status.TRUE, "FollowsQueue", "the number of workers follows the queue")


def _outside_decides(queue: QueueObserved) -> str:
    """Whoever decides may do so by the need, and is told when it is not known, and why."""
    why = f"cannot see the queue: {queue.unseen}" if queue.backlog is None else queue.hold
    return "spec.replicas decides" + (why and f"; how many workers are needed is not told: {why}")


def _scaling_disputed(pool: PoolPolicy, second: str) -> Condition:
    kind = "ScalingDisputed"
    if second:
        return Condition(kind, Status.TRUE, "SecondWriter", second)
    return Condition(kind, Status.FALSE, "OneWriter", _ONE_WRITER[pool.mode])


def _scaling_limited(pool: PoolPolicy, needs: Mapping[str, Need], decided: Mapping[str, Need]) -> Condition:
    kind = "ScalingLimited"
    if any(need.reason == "PoolMaxWorkers" for need in decided.values()):
        total = sum(need.workers for need in needs.values())
        text = f"{count(total, 'worker')} could be used; maxWorkers of the pool is {pool.max_workers}"
        return Condition(kind, Status.TRUE, "PoolMaxWorkers", text)
    for reason in ("EndpointMaxWorkers", "EndpointRateLimit"):
        capped = [(name, need.message) for name, need in decided.items() if need.reason == reason]
        if capped:
            return Condition(kind, Status.TRUE, reason, _tell(capped))
    return Condition(kind, Status.FALSE, "WithinLimits", "no limit holds back workers that could be used")


def _endpoints_healthy(seen: Seen) -> Condition:
    kind = "EndpointsHealthy"
    if not seen:
        return Condition(kind, Status.FALSE, "NoEndpoints", _NO_ENDPOINTS)
    sick = [(name, endpoint.trouble) for name, endpoint in seen.items() if endpoint.healthy is False]
    if sick:
        return Condition(kind, Status.FALSE, "EndpointUnhealthy", _tell(sick))
    complaints = _complaints(seen)
    if complaints:
        return Condition(kind, Status.FALSE, "WorkersInTrouble", _tell(complaints.items()))
    if any(endpoint.healthy is None for endpoint in seen.values()):
        return Condition(kind, Status.UNKNOWN, "NotProbedYet", "not every endpoint has been probed yet")
    return Condition(kind, Status.TRUE, "AllHealthy", "every endpoint answers its probe")


def _complaints(seen: Seen) -> dict[str, str]:
    return {name: f"its workers say: {endpoint.complaint}" for name, endpoint in seen.items() if endpoint.complaint}


def _queue_not_found() -> str:
    return "the TaskQueue of spec.queueRef does not exist in this namespace"


def _tell(endpoints: Iterable[tuple[str, str]]) -> str:
    """``name: words`` of a few endpoints, and how many more there are."""
    told = [f"{name}: {words}" for name, words in endpoints]
    more = len(told) - _MOST_ENDPOINTS_TOLD
    return "; ".join(told[:_MOST_ENDPOINTS_TOLD]) + (f"; and {more} more" if more > 0 else "")
