"""How many workers each endpoint would have if there were no limits of the pool, no delays and no past."""

import math
from dataclasses import dataclass

from taskfleet.core.pool import EndpointObserved, EndpointPolicy, PoolPolicy, QueueObserved, Seen
from taskfleet.core.quantities import format_duration
from taskfleet.core.scaling import needed_workers
from taskfleet.core.sharing import share_backlog, usable_workers

_NOTHING = "no task waits or runs for its models"
EXTERNAL_QUEUE = (
    "the queue's execution is External: its tasks are claimed with `taskfleet run`, and no worker serves them; "
    "remove this pool, or set execution to Workers"
)


@dataclass(frozen=True, slots=True)
class Need:
    """``workers`` wanted, ``occupied`` of them by running tasks. ``reason`` is CamelCase, ``message`` a sentence."""

    workers: int
    reason: str
    message: str
    occupied: int = 0


def count(number: int, noun: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def from_load(pool: PoolPolicy, queue: QueueObserved, seen: Seen) -> dict[str, Need]:
    """Needs that follow what waits and runs."""
    shares = share_backlog(pool, queue.backlog or {}, seen)
    lanes = {lane for lane, waiting in (queue.backlog or {}).items() if waiting}
    return {
        policy.name: _from_load(
            pool, policy, shares[policy.name], seen[policy.name], waiting=not lanes.isdisjoint(policy.models)
        )
        for policy in pool.endpoints
    }


def _from_load(
    pool: PoolPolicy, policy: EndpointPolicy, backlog: int, seen: EndpointObserved, *, waiting: bool
) -> Need:
    """``backlog``: its share of the waiting tasks; ``waiting``: whether any task waits for one of its models."""
    if backlog + seen.inflight == 0:
        return Need(0, "Idle", "other endpoints take what waits for its models" if waiting else _NOTHING)
    wanted = needed_workers(
        backlog=backlog,
        inflight=seen.inflight,
        concurrency=policy.concurrency,
        seconds_per_task=seen.seconds_per_task,
        target=pool.target,
    )
    occupied = min(math.ceil(seen.inflight / policy.concurrency), policy.max_workers)
    load = f"{backlog} waiting and {seen.inflight} running tasks"
    if seen.healthy is False:
        # More workers cannot help a server that does not answer; those there are will notice when it does.
        kept = min(seen.workers, policy.max_workers)
        return Need(kept, "EndpointUnhealthy", f"{load}, but the endpoint is not healthy: {seen.trouble}", kept)
    usable = max(occupied, usable_workers(policy, seen))
    if min(wanted, usable, policy.max_workers) > seen.workers and _gone_before_another_is_ready(policy, backlog, seen):
        text = (
            f"{load} would use {count(wanted, 'worker')}; another one would be ready after "
            f"{format_duration(seen.cold_start or 0.0)}, when those that are ready have done them"
        )
        return Need(max(seen.workers, occupied), "ColdStart", text, occupied)
    if wanted > usable and usable < policy.max_workers:
        text = (
            f"{load} would use {count(wanted, 'worker')}; the endpoint's rate limit of {policy.limits.words()} can "
            f"keep {usable} busy"
        )
        return Need(usable, "EndpointRateLimit", text, occupied)
    if wanted > policy.max_workers:
        text = f"{load} would use {count(wanted, 'worker')}; maxWorkers of the endpoint is {policy.max_workers}"
        return Need(policy.max_workers, "EndpointMaxWorkers", text, occupied)
    pace = "" if seen.seconds_per_task is None else f"{format_duration(seen.seconds_per_task)} each, "
    text = f"{load} ({pace}{policy.concurrency} at a time in a worker) need {count(wanted, 'worker')}"
    return Need(wanted, "Backlog", text, occupied)


def _gone_before_another_is_ready(policy: EndpointPolicy, backlog: int, seen: EndpointObserved) -> bool:
    """Whether a worker that is started now would find nothing to do."""
    if seen.cold_start is None or seen.seconds_per_task is None or not seen.ready:
        return False
    at_once = policy.concurrency * seen.ready
    return (backlog + seen.inflight) * seen.seconds_per_task / at_once <= seen.cold_start


def none_for_external(pool: PoolPolicy) -> dict[str, Need]:
    """Workers that are there go at once: each finishes what it can in its grace period and hands back the rest."""
    return {policy.name: Need(0, "QueueIsExternal", EXTERNAL_QUEUE) for policy in pool.endpoints}


def draining(pool: PoolPolicy, seen: Seen) -> dict[str, Need]:
    """Needs under HoldAndDrain: all workers of an endpoint stay until its last running task has ended.

    Which worker runs what is not for us to choose: fewer workers could cut a task off that still runs.
    """
    return {policy.name: _draining(policy, seen[policy.name]) for policy in pool.endpoints}


def _draining(policy: EndpointPolicy, seen: EndpointObserved) -> Need:
    if seen.inflight == 0:
        return Need(0, "Drained", "the queue's stopPolicy is HoldAndDrain and nothing runs")
    kept = min(seen.workers, policy.max_workers)
    text = f"the queue's stopPolicy is HoldAndDrain and {count(seen.inflight, 'task')} still running"
    return Need(kept, "Draining", text, kept)


def from_outside(pool: PoolPolicy, seen: Seen) -> dict[str, Need]:
    """Spread the number that someone outside wrote over the endpoints, in turn, each up to its maximum.

    As long as nobody wrote one, who was there when the mode was changed stays: a mode takes no worker away.
    """
    wanted = pool.replicas
    if wanted is None:
        why = "autoscaling.mode is External and spec.replicas is not set; set it, by kubectl scale or an autoscaler"
        return unchanged(pool, seen, "External", why)
    limits = [policy.max_workers for policy in pool.endpoints]
    text = f"autoscaling.mode is External and spec.replicas is {wanted}"
    if wanted <= sum(limits):
        dealt = zip(pool.endpoints, level(limits, wanted), strict=True)
        return {policy.name: Need(workers, "External", text) for policy, workers in dealt}
    return {
        policy.name: Need(limit, "EndpointMaxWorkers", f"{text}; maxWorkers of the endpoint is {limit}")
        for policy, limit in zip(pool.endpoints, limits, strict=True)
    }


def unchanged(pool: PoolPolicy, seen: Seen, reason: str, why: str) -> dict[str, Need]:
    """Change nothing: not to see the queue, or to be told to wait, is no reason to take workers away."""
    text = f"{why}; the workers stay as they are"
    kept = {policy.name: min(seen[policy.name].workers, policy.max_workers) for policy in pool.endpoints}
    return {name: Need(workers, reason, text, workers) for name, workers in kept.items()}


def level(limits: list[int], amount: int) -> list[int]:
    """Deal ``amount`` out one by one, in turn, each place up to its limit: the fairest split, in one pass."""
    dealt = [0] * len(limits)
    left = min(amount, sum(limits))
    by_size = sorted(range(len(limits)), key=limits.__getitem__)
    for position, index in enumerate(by_size):
        open_places = len(by_size) - position
        if limits[index] * open_places > left:
            even, extra = divmod(left, open_places)
            for rank, place in enumerate(sorted(by_size[position:])):
                dealt[place] = even + (rank < extra)
            break
        dealt[index] = limits[index]
        left -= limits[index]
    return dealt
