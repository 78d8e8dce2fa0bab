"""The heart: which workers each endpoint of a pool should have now, and why, in words.

``plan`` sees one pool, its queue and what was observed, and decides. It does no I/O and has no memory of its own:
what it must remember comes back as ``Plan.memory`` and goes in again with the next observation. The Kubernetes
adapter turns a plan into Deployments, the laptop's into processes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from taskfleet.core.conditions import Condition, Status
from taskfleet.core.quantities import format_duration
from taskfleet.core.scaling import Patience, ScaleMemory, ScalingTarget, needed_workers, stabilise


class StopPolicy(StrEnum):
    """``HOLD``: take nothing new, keep the workers. ``HOLD_AND_DRAIN``: finish what runs, then have no workers."""

    NONE = "None"
    HOLD = "Hold"
    HOLD_AND_DRAIN = "HoldAndDrain"


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """What planning needs to know of an endpoint. ``models`` are the lanes that it serves."""

    name: str
    models: frozenset[str]
    concurrency: int
    max_workers: int


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """What planning needs to know of a pool. ``fixed_workers`` is set when someone outside decides (External)."""

    endpoints: tuple[EndpointPolicy, ...]
    min_workers: int
    max_workers: int
    target: ScalingTarget
    patience: Patience
    fixed_workers: int | None = None


@dataclass(frozen=True, slots=True)
class EndpointObserved:
    """An endpoint as seen now. ``workers`` were asked for, ``ready`` can work; None: not known (yet)."""

    workers: int = 0
    ready: int = 0
    inflight: int = 0
    healthy: bool | None = None
    trouble: str = ""
    seconds_per_task: float | None = None


@dataclass(frozen=True, slots=True)
class QueueObserved:
    """The pool's queue as seen now: waiting tasks by lane. ``exists`` is False when no such TaskQueue is there."""

    exists: bool = True
    backlog: Mapping[str, int] = field(default_factory=dict)
    stop: StopPolicy = StopPolicy.NONE


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything seen for one plan. ``queue`` is None when the store could not be asked."""

    queue: QueueObserved | None
    endpoints: Mapping[str, EndpointObserved]
    memory: Mapping[str, ScaleMemory] = field(default_factory=dict)
    store_error: str = ""


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """The decision for one endpoint. ``reason`` is CamelCase, ``message`` a sentence with the numbers in it."""

    name: str
    workers: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision for a pool. ``look_again_at`` is when time alone will change it (None: only events will)."""

    endpoints: tuple[EndpointPlan, ...]
    conditions: tuple[Condition, ...]
    memory: Mapping[str, ScaleMemory]
    look_again_at: float | None

    @property
    def workers(self) -> int:
        return sum(endpoint.workers for endpoint in self.endpoints)


def plan(pool: PoolPolicy, observed: Observed, now: float) -> Plan:
    """Decide the workers of every endpoint at ``now`` (seconds of any steady clock)."""
    seen = {policy.name: observed.endpoints.get(policy.name, EndpointObserved()) for policy in pool.endpoints}
    if observed.queue is None:
        return _hold(pool, seen, observed, "StoreUnreachable", f"cannot see the queue: {observed.store_error}")
    if not observed.queue.exists:
        return _hold(pool, seen, observed, "QueueNotFound", "its TaskQueue does not exist yet")
    if observed.queue.stop is StopPolicy.HOLD:
        return _hold(pool, seen, observed, "QueueOnHold", "the queue's stopPolicy is Hold: nothing new is taken")

    needs = _needs(pool, observed.queue, seen)
    decided = _within_pool_bounds(pool, needs)
    memory: dict[str, ScaleMemory] = {}
    look_again: list[float] = []
    plans = []
    for policy in pool.endpoints:
        need, current = decided[policy.name], seen[policy.name].workers
        patience = Patience(0, 0) if need.at_once else pool.patience
        settled = stabilise(
            current=min(current, pool.max_workers) if need.at_once else current,
            wanted=need.workers,
            patience=patience,
            memory=observed.memory.get(policy.name, ScaleMemory()),
            now=now,
        )
        memory[policy.name] = settled.memory
        if settled.look_again_at is not None:
            look_again.append(settled.look_again_at)
        reason, message = need.reason, need.message
        if settled.workers > need.workers:
            wait = "" if settled.look_again_at is None else f" in {format_duration(settled.look_again_at - now)}"
            reason, message = "ScaleDownDelayed", f"{message}; the {settled.workers} there are stay, next look{wait}"
        plans.append(EndpointPlan(policy.name, settled.workers, reason, message))
    return Plan(
        tuple(plans),
        (
            _scaling_active("Planned", "the queue is seen and the workers follow it"),
            _limited(pool, needs),
            _health(seen),
        ),
        memory,
        min(look_again, default=None),
    )


@dataclass(frozen=True, slots=True)
class _Need:
    workers: int
    reason: str
    message: str
    at_once: bool = False  # a decision of people, or of a limit: no delay before workers go


def _needs(pool: PoolPolicy, queue: QueueObserved, seen: Mapping[str, EndpointObserved]) -> dict[str, _Need]:
    """Each endpoint's own need, before the pool's bounds."""
    if queue.stop is StopPolicy.HOLD_AND_DRAIN:
        return {policy.name: _draining(policy, seen[policy.name]) for policy in pool.endpoints}
    if pool.fixed_workers is not None:
        return _fixed(pool, seen)
    shares = _backlog_shares(pool, queue, seen)
    return {policy.name: _need(pool, policy, shares[policy.name], seen[policy.name]) for policy in pool.endpoints}


def _need(pool: PoolPolicy, policy: EndpointPolicy, backlog: float, seen: EndpointObserved) -> _Need:
    workers = needed_workers(
        backlog=backlog,
        inflight=seen.inflight,
        concurrency=policy.concurrency,
        seconds_per_task=seen.seconds_per_task,
        target=pool.target,
    )
    waiting = math.ceil(backlog)
    if not workers:
        return _Need(0, "Idle", "no tasks wait or run")
    load = f"{waiting} waiting and {seen.inflight} running tasks"
    if seen.healthy is False:
        # More workers cannot help a server that does not answer; those there are will notice when it does.
        kept = min(seen.workers, policy.max_workers)
        return _Need(kept, "EndpointUnhealthy", f"{load}, but the endpoint is not healthy: {seen.trouble}")
    if workers > policy.max_workers:
        text = f"{load} would use {workers} workers; maxWorkers of the endpoint is {policy.max_workers}"
        return _Need(policy.max_workers, "EndpointMaxWorkers", text)
    pace = "" if seen.seconds_per_task is None else f", {format_duration(seen.seconds_per_task)} a task"
    return _Need(workers, "Backlog", f"{load}{pace}, {policy.concurrency} at a time: {workers} workers")


def _draining(policy: EndpointPolicy, seen: EndpointObserved) -> _Need:
    workers = min(seen.workers, math.ceil(seen.inflight / policy.concurrency))
    return _Need(workers, "Draining", f"stopPolicy is HoldAndDrain and {seen.inflight} tasks still run", at_once=True)


def _fixed(pool: PoolPolicy, seen: Mapping[str, EndpointObserved]) -> dict[str, _Need]:
    """Spread the number that someone outside wrote over the endpoints, in turn, each up to its maximum."""
    left = pool.fixed_workers or 0
    given = {policy.name: 0 for policy in pool.endpoints}
    while left > 0:
        open_ones = [policy for policy in pool.endpoints if given[policy.name] < policy.max_workers]
        if not open_ones:
            break
        for policy in open_ones[:left]:
            given[policy.name] += 1
        left -= len(open_ones[:left])
    text = f"autoscaling.mode is External and spec.replicas is {pool.fixed_workers}"
    return {name: _Need(workers, "External", text, at_once=True) for name, workers in given.items()}


def _backlog_shares(pool: PoolPolicy, queue: QueueObserved, seen: Mapping[str, EndpointObserved]) -> dict[str, float]:
    """Split each lane's waiting tasks over the endpoints that serve it, in proportion to their concurrency.

    An endpoint known to be unhealthy gets a share only when no other one serves the lane.
    """
    shares = {policy.name: 0.0 for policy in pool.endpoints}
    for lane, waiting in queue.backlog.items():
        serving = [policy for policy in pool.endpoints if lane in policy.models]
        able = [policy for policy in serving if seen[policy.name].healthy is not False] or serving
        total = sum(policy.concurrency * policy.max_workers for policy in able)
        for policy in able:
            shares[policy.name] += waiting * policy.concurrency * policy.max_workers / total
    return shares


def _within_pool_bounds(pool: PoolPolicy, needs: Mapping[str, _Need]) -> dict[str, _Need]:
    """Apply the pool's minimum and maximum: raise the first endpoints, lower the largest."""
    bounded = dict(needs)
    if any(need.reason == "Draining" for need in bounded.values()):
        return bounded
    while (total := sum(need.workers for need in bounded.values())) > pool.max_workers:
        largest = max(bounded, key=lambda name: bounded[name].workers)
        need = bounded[largest]
        cut = max(1, min(need.workers, total - pool.max_workers) // max(1, len(bounded)))
        text = f"{needs[largest].message}; maxWorkers of the pool is {pool.max_workers}"
        bounded[largest] = _Need(need.workers - cut, "PoolMaxWorkers", text, need.at_once)
    if pool.fixed_workers is not None:
        return bounded
    missing = pool.min_workers - sum(need.workers for need in bounded.values())
    for policy in pool.endpoints:
        extra = min(max(missing, 0), policy.max_workers - bounded[policy.name].workers)
        if extra > 0:
            need = bounded[policy.name]
            text = f"{need.message}; minWorkers of the pool is {pool.min_workers}"
            bounded[policy.name] = _Need(need.workers + extra, "PoolMinWorkers", text)
            missing -= extra
    return bounded


def _hold(pool: PoolPolicy, seen: Mapping[str, EndpointObserved], observed: Observed, reason: str, why: str) -> Plan:
    """Change nothing: not to see the queue, or to be told to wait, is no reason to take workers away."""
    held = tuple(
        EndpointPlan(policy.name, seen[policy.name].workers, reason, f"{why}; the workers stay as they are")
        for policy in pool.endpoints
    )
    active = Condition("ScalingActive", Status.FALSE, reason, f"{why}; the workers stay as they are")
    limited = Condition("ScalingLimited", Status.FALSE, "NotScaling", "nothing is being scaled")
    return Plan(held, (active, limited, _health(seen)), observed.memory, None)


def _scaling_active(reason: str, message: str) -> Condition:
    return Condition("ScalingActive", Status.TRUE, reason, message)


def _limited(pool: PoolPolicy, needs: Mapping[str, _Need]) -> Condition:
    total = sum(need.workers for need in needs.values())
    capped = [f"{name}: {need.message}" for name, need in needs.items() if need.reason == "EndpointMaxWorkers"]
    if total > pool.max_workers:
        text = f"the load would use {total} workers; maxWorkers of the pool is {pool.max_workers}"
        return Condition("ScalingLimited", Status.TRUE, "PoolMaxWorkers", text)
    if capped:
        return Condition("ScalingLimited", Status.TRUE, "EndpointMaxWorkers", "; ".join(capped))
    return Condition("ScalingLimited", Status.FALSE, "WithinBounds", "the wanted workers are within the bounds")


def _health(seen: Mapping[str, EndpointObserved]) -> Condition:
    sick = [f"{name}: {endpoint.trouble}" for name, endpoint in seen.items() if endpoint.healthy is False]
    if sick:
        return Condition("EndpointsHealthy", Status.FALSE, "EndpointUnhealthy", "; ".join(sick))
    if any(endpoint.healthy is None for endpoint in seen.values()):
        return Condition("EndpointsHealthy", Status.UNKNOWN, "NotProbedYet", "not every endpoint has been probed yet")
    return Condition("EndpointsHealthy", Status.TRUE, "AllHealthy", "every endpoint answers")
