"""The status of a WorkerPool: its workers, and in words why there are that many."""

from collections.abc import Mapping
from typing import Any

from taskfleet.api.status import ConditionStatus, EndpointStatus, WorkerPoolStatus
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.heritage import idle_since
from taskfleet.controller.observe import Sight, tasks_per_minute, worker_troubles
from taskfleet.controller.world import PoolState
from taskfleet.core.conditions import merge_conditions
from taskfleet.core.names import pool_selector
from taskfleet.core.plan import EndpointPlan, Plan
from taskfleet.core.pool import EndpointObserved


def pool_status(
    pool: WorkerPool,
    state: PoolState,
    *,
    plan: Plan,
    seen: Mapping[str, EndpointObserved],
    sight: Sight,
    last: Mapping[str, Any],
    now: str,
) -> dict[str, Any]:
    """The whole status."""
    pace, troubles = tasks_per_minute(pool, sight.reports), worker_troubles(pool, sight.reports)
    shown = {each["name"]: each.get("idleSince") for each in last.get("endpoints", ())}
    endpoints = [
        _endpoint(
            planned,
            seen[planned.name],
            pace=pace.get(planned.name, 0.0),
            trouble=troubles.get(planned.name, ""),
            idle=idle_since(plan.memory.get(planned.name), shown.get(planned.name), state.planned_at),
        )
        for planned in plan.endpoints
    ]
    generation = pool.metadata.generation
    conditions = plan.conditions if state.services is None else (*plan.conditions, state.services)
    merged = merge_conditions(last.get("conditions", ()), conditions, generation=generation, now=now)
    return WorkerPoolStatus(
        observed_generation=generation,
        replicas=plan.workers,
        ready_replicas=sum(endpoint.ready for endpoint in endpoints),
        desired_replicas=plan.workers,
        needed_replicas=plan.needed,
        selector=pool_selector(pool.metadata.name),
        endpoints=endpoints,
        last_scale_time=state.last_scale_time,
        last_scale_reason=state.last_scale_reason,
        conditions=[ConditionStatus.model_validate(condition) for condition in merged],
    ).to_wire()


def _endpoint(
    planned: EndpointPlan, seen: EndpointObserved, *, pace: float, trouble: str, idle: str | None
) -> EndpointStatus:
    message = planned.message
    if seen.healthy is False and seen.trouble not in message:
        message += f"; the endpoint is not healthy: {seen.trouble}"
    if seen.stuck:
        message += f"; workers do not start: {seen.stuck}"
    if trouble:
        message += f"; its workers say: {trouble}"
    if seen.waits:
        message += f"; its workers wait: {seen.waits}"
    return EndpointStatus(
        name=planned.name,
        healthy=seen.healthy,
        workers=planned.workers,
        ready=seen.ready,
        inflight=seen.inflight,
        latency_seconds=None if seen.seconds_per_task is None else float(f"{seen.seconds_per_task:.3g}"),
        cold_start_seconds=None if seen.cold_start is None else float(f"{seen.cold_start:.3g}"),
        tasks_per_minute=float(f"{pace:.3g}"),
        idle_since=idle if planned.workers else None,
        reason=planned.reason,
        message=message,
    )
