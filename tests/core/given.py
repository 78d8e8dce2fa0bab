"""Short words for what planning knows and sees, so that a test reads as a sentence."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from taskfleet.core.conditions import Condition
from taskfleet.core.plan import EndpointPlan, Plan
from taskfleet.core.pool import EndpointObserved, EndpointPolicy, Observed, PoolPolicy, QueueObserved
from taskfleet.core.scaling import Patience, ScaleMemory, ScalingTarget

NOW = 1000.0


def endpoint(
    name: str = "llm", *, models: str = "small", concurrency: int = 4, max_workers: int = 10
) -> EndpointPolicy:
    return EndpointPolicy(name, frozenset(models.split()), concurrency, max_workers)


def pool(*endpoints: EndpointPolicy, **settings: Any) -> PoolPolicy:
    """A pool with one worker for every ``concurrency`` tasks, so that numbers can be checked in the head."""
    base = PoolPolicy(
        endpoints=endpoints or (endpoint(),),
        min_workers=0,
        max_workers=20,
        target=ScalingTarget(backlog_per_worker=4),
        patience=Patience(scale_down=60, scale_to_zero=120),
    )
    return replace(base, **settings)


def waiting(**lanes: int) -> QueueObserved:
    return QueueObserved(backlog=lanes)


def seen(
    queue: QueueObserved, memory: Mapping[str, ScaleMemory] | None = None, /, **endpoints: EndpointObserved
) -> Observed:
    return Observed(queue, endpoints, memory or {})


def has(workers: int = 0, *, inflight: int = 0, **more: Any) -> EndpointObserved:
    """An endpoint with this many workers, all ready, probed and healthy unless said otherwise."""
    return EndpointObserved(**{"workers": workers, "ready": workers, "inflight": inflight, "healthy": True} | more)


def workers_of(decided: Plan) -> dict[str, int]:
    return {planned.name: planned.workers for planned in decided.endpoints}


def only(decided: Plan) -> EndpointPlan:
    (planned,) = decided.endpoints
    return planned


def condition(decided: Plan, kind: str) -> Condition:
    return next(condition for condition in decided.conditions if condition.type == kind)
