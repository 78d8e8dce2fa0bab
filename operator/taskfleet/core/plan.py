"""The heart: which workers each endpoint of a pool should have now, and why, in words.

``plan`` sees one pool, its queue and what was observed, and decides. It does no I/O and has no memory of its own:
what it must remember comes back as ``Plan.memory`` and goes in again with the next observation. The Kubernetes
adapter turns a plan into Deployments, the laptop's into processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from taskfleet.core.conditions import Condition
from taskfleet.core.limits import raised_to_minimum, within_maximum
from taskfleet.core.needs import Need, count, draining, from_load, from_outside, none_for_external, unchanged
from taskfleet.core.pool import EndpointObserved, Observed, PoolPolicy, Seen, StopPolicy
from taskfleet.core.pool_conditions import pool_conditions
from taskfleet.core.quantities import format_duration
from taskfleet.core.scaling import Patience, ScaleMemory, stabilise

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
    """The decision for a pool. ``look_again_at`` is when time alone will change it (None: only events will)."""

    endpoints: tuple[EndpointPlan, ...]
    conditions: tuple[Condition, ...]
    memory: Mapping[str, ScaleMemory]
    look_again_at: float | None

    @property
    def workers(self) -> int:
        return sum(endpoint.workers for endpoint in self.endpoints)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which rule decides. Without ``patience`` it acts at once: people said so, or nothing is to be changed."""

    needs: Mapping[str, Need]
    patience: Patience | None = None
    keeps_minimum: bool = True


def plan(pool: PoolPolicy, observed: Observed, now: float) -> Plan:
    """Decide the workers of every endpoint at ``now`` (seconds of any steady clock)."""
    seen = {policy.name: observed.endpoints.get(policy.name, EndpointObserved()) for policy in pool.endpoints}
    rule = _rule(pool, observed, seen)
    kept = {name: need.workers for name, need in rule.needs.items()}
    memory: dict[str, ScaleMemory] = {}
    look_again: list[float] = []
    if rule.patience is not None:
        for policy in pool.endpoints:
            settled = stabilise(
                current=min(seen[policy.name].workers, policy.max_workers),
                wanted=rule.needs[policy.name].workers,
                patience=rule.patience,
                memory=observed.memory.get(policy.name, ScaleMemory()),
                now=now,
            )
            kept[policy.name], memory[policy.name] = settled.workers, settled.memory
            if settled.look_again_at is not None:
                look_again.append(settled.look_again_at)
    given = within_maximum(pool, rule.needs, kept)
    if rule.keeps_minimum:
        given = raised_to_minimum(pool, given, seen)
    at_minimum = rule.keeps_minimum and sum(given.values()) <= pool.min_workers
    decided = {name: _decided(pool, rule, need, given[name], at_minimum) for name, need in rule.needs.items()}
    return Plan(
        tuple(EndpointPlan(name, need.workers, need.reason, need.message) for name, need in decided.items()),
        pool_conditions(pool, observed.queue, seen, rule.needs, decided),
        memory,
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
    if queue.backlog is None and (not pool.external or queue.stop is StopPolicy.HOLD_AND_DRAIN):
        return _Rule(unchanged(pool, seen, queue.unseen_reason, f"cannot see the queue: {queue.unseen}"))
    if queue.stop is StopPolicy.HOLD_AND_DRAIN:
        return _Rule(draining(pool, seen), keeps_minimum=False)
    if pool.external:
        return _Rule(from_outside(pool, seen), keeps_minimum=False)
    if queue.hold:
        return _Rule(unchanged(pool, seen, "QueueOnHold", f"{queue.hold}: no task is started"))
    return _Rule(from_load(pool, queue, seen), pool.patience)


def _decided(pool: PoolPolicy, rule: _Rule, need: Need, workers: int, at_minimum: bool) -> Need:
    """Say why, where limits and delays gave another number than the need."""
    if workers < need.workers:
        return Need(workers, "PoolMaxWorkers", f"{need.message}; maxWorkers of the pool is {pool.max_workers}")
    if workers == need.workers:
        return need
    if at_minimum or rule.patience is None:
        return Need(workers, "PoolMinWorkers", f"{need.message}; minWorkers of the pool is {pool.min_workers}")
    return Need(workers, "ScaleDownDelayed", _delayed(need, workers, rule.patience))


def _delayed(need: Need, workers: int, patience: Patience) -> str:
    """Names the setting and not the seconds left: a text that changes by itself would be written again and again."""
    delay = f"scaleDownDelay ({format_duration(patience.scale_down)})"
    if need.workers == 0 and (workers == 1 or patience.scale_to_zero <= patience.scale_down):
        delay = f"scaleToZeroDelay ({format_duration(patience.scale_to_zero)})"
    stays = "its worker stays" if workers == 1 else f"its {count(workers, 'worker')} stay"
    return f"{need.message}; {stays} until that has lasted {delay}"
