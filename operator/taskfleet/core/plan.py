"""The heart: which workers each endpoint of a pool should have now, and why, in words.

``plan`` sees one pool, its queue and what was observed, and decides. It does no I/O and has no memory of its own:
what it must remember comes back as ``Plan.memory`` and goes in again with the next observation. The Kubernetes
adapter turns a plan into Deployments, the laptop's into processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from taskfleet.core.conditions import Condition
from taskfleet.core.decisions import decided_need
from taskfleet.core.limits import raised_to_minimum, within_maximum
from taskfleet.core.needs import Need, draining, from_load, from_outside, none_for_external, unchanged
from taskfleet.core.pool import AutoscalingMode, EndpointObserved, Observed, PoolPolicy, Seen, StopPolicy
from taskfleet.core.pool_conditions import pool_conditions
from taskfleet.core.replicas import settled_replicas, zero_due
from taskfleet.core.scaling import Patience, ScaleMemory, remember_idle, stabilise

# A queue that is not there may only not have been seen yet, in the first seconds of a controller's life.
_MISSING_QUEUE_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """The decision for one endpoint. ``reason`` is CamelCase, ``message`` a sentence with the numbers in it."""

    name: str
    workers: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision for a pool. ``look_again_at`` is when time alone will change it (None: only events will).

    ``needed``: workers that what waits and runs can use, before delays and the pool's maximum; None when it cannot be
    said. ``replicas``: what the pool's ``spec.replicas`` must say (None: nothing).
    """

    endpoints: tuple[EndpointPlan, ...]
    conditions: tuple[Condition, ...]
    memory: Mapping[str, ScaleMemory]
    look_again_at: float | None
    needed: int | None = None
    replicas: int | None = None

    @property
    def workers(self) -> int:
        return sum(endpoint.workers for endpoint in self.endpoints)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which rule decides. Without ``patience`` it acts at once: people said so, or nothing is to be changed.

    ``needed``: workers that what waits and runs can use, whoever decides on their number; None when it is not known.
    """

    needs: Mapping[str, Need]
    patience: Patience | None = None
    keeps_minimum: bool = True
    needed: int | None = None


@dataclass(frozen=True, slots=True)
class _Settled:
    """What the needs become with time: the workers that each endpoint keeps, and what is to be remembered."""

    kept: Mapping[str, int]
    memory: Mapping[str, ScaleMemory]
    look_again_at: float | None = None
    idle: bool = False


def plan(pool: PoolPolicy, observed: Observed, now: float) -> Plan:
    """Decide the workers of every endpoint at ``now`` (seconds of any steady clock)."""
    seen = {policy.name: observed.endpoints.get(policy.name, EndpointObserved()) for policy in pool.endpoints}
    rule = _rule(pool, observed, seen)
    settled = _settle(pool, rule, observed, seen, now)
    minimum = pool.min_workers if rule.keeps_minimum else 0
    replicas = settled_replicas(pool, seen, needed=rule.needed, minimum=minimum, idle=settled.idle)
    limits = pool
    if pool.mode is AutoscalingMode.HPA and rule.patience is not None:  # the HPA says how many, the load says where
        number = min(replicas or 0, pool.max_workers)
        limits = replace(pool, min_workers=number, max_workers=number)
    given = within_maximum(limits, rule.needs, settled.kept)
    if rule.keeps_minimum or limits is not pool:
        given = raised_to_minimum(limits, given, seen)
    at_minimum = rule.keeps_minimum and sum(given.values()) <= pool.min_workers
    decided = {
        name: decided_need(pool, limits, rule.patience, need, given[name], at_minimum=at_minimum)
        for name, need in rule.needs.items()
    }
    return Plan(
        tuple(EndpointPlan(name, need.workers, need.reason, need.message) for name, need in decided.items()),
        pool_conditions(pool, observed, seen, rule.needs, decided),
        settled.memory,
        settled.look_again_at,
        rule.needed,
        replicas,
    )


def _settle(pool: PoolPolicy, rule: _Rule, observed: Observed, seen: Seen, now: float) -> _Settled:
    if rule.patience is None:
        return _Settled({name: need.workers for name, need in rule.needs.items()}, {})
    past = {name: observed.memory.get(name, ScaleMemory()) for name in seen}
    if pool.mode is AutoscalingMode.HPA:
        memory = {name: remember_idle(rule.needs[name].workers, past[name], now) for name in seen}
        due = zero_due(memory, seen, rule.patience.scale_to_zero)
        kept = {policy.name: min(seen[policy.name].workers, policy.max_workers) for policy in pool.endpoints}
        kept = {name: max(workers, rule.needs[name].workers) for name, workers in kept.items()}
        idle = due is not None and now >= due
        return _Settled(kept, memory, None if idle else due, idle)
    each = {
        policy.name: stabilise(
            current=min(seen[policy.name].workers, policy.max_workers),
            wanted=rule.needs[policy.name].workers,
            patience=rule.patience,
            memory=past[policy.name],
            now=now,
        )
        for policy in pool.endpoints
    }
    look_again = [one.look_again_at for one in each.values() if one.look_again_at is not None]
    return _Settled(
        {name: one.workers for name, one in each.items()},
        {name: one.memory for name, one in each.items()},
        min(look_again, default=None),
    )


def _rule(pool: PoolPolicy, observed: Observed, seen: Seen) -> _Rule:
    queue = observed.queue
    if not queue.exists:
        why = "its TaskQueue does not exist"
        patience = Patience(
            max(pool.patience.scale_down, _MISSING_QUEUE_PATIENCE),
            max(pool.patience.scale_to_zero, _MISSING_QUEUE_PATIENCE),
        )
        needs = {policy.name: Need(0, "QueueNotFound", why) for policy in pool.endpoints}
        return _Rule(needs, patience, keeps_minimum=False)
    if queue.is_external:
        return _Rule(none_for_external(pool), keeps_minimum=False)
    external = pool.mode is AutoscalingMode.EXTERNAL
    if queue.backlog is None and (not external or queue.stop is StopPolicy.HOLD_AND_DRAIN):
        return _Rule(unchanged(pool, seen, queue.unseen_reason, f"cannot see the queue: {queue.unseen}"))
    if queue.stop is StopPolicy.HOLD_AND_DRAIN:
        return _Rule(draining(pool, seen), keeps_minimum=False)
    load = None if queue.backlog is None or queue.hold else from_load(pool, queue, seen)
    needed = None if load is None else sum(need.workers for need in load.values())
    if external:
        return _Rule(from_outside(pool, seen), keeps_minimum=False, needed=needed)
    if load is None:
        return _Rule(unchanged(pool, seen, "QueueOnHold", f"{queue.hold}: no task is started"))
    return _Rule(load, pool.patience, needed=needed)
