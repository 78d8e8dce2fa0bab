"""Which endpoint gets the next worker: how a lane's waiting tasks are shared over the endpoints that serve it."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from taskfleet.core.pool import EndpointObserved, EndpointPolicy, PoolPolicy, Seen, Strategy
from taskfleet.core.scaling import ASSUMED_SECONDS_PER_TASK, busy_workers

# Endpoints whose tasks take this many times as long as the fastest one's count as equally fast: the ranking of two
# that are alike would change with every measurement, and workers would move back and forth.
_AS_FAST = 1.5


def share_backlog(pool: PoolPolicy, backlog: Mapping[str, int], seen: Seen) -> dict[str, int]:
    """Waiting tasks of each endpoint, so that their workers follow from them. Nobody is sent to one known to be
    unhealthy while another serves the lane.

    A strategy ranks the endpoints; what those of the first rank can drain with all of their workers goes to them, the
    rest to the next. Inside a rank it goes by weight, in whole workerfuls: one task wakes one worker, not one of each.
    """
    serving: dict[str, list[EndpointPolicy]] = defaultdict(list)
    for policy in pool.endpoints:
        for lane in policy.models:
            serving[lane].append(policy)
    room = {policy.name: _capacity(pool, policy, seen[policy.name]) for policy in pool.endpoints}
    shares = {policy.name: 0 for policy in pool.endpoints}
    for lane, waiting in backlog.items():
        able = [policy for policy in serving[lane] if seen[policy.name].healthy is not False] or serving[lane]
        ranks = _ranked(pool, able, seen)
        left = waiting
        for rank in ranks:
            left -= _deal(left, rank, _weight(pool), room, shares)
        if left and ranks:  # more than all of them can drain in time: they say so
            unlimited = {policy.name: left for policy in ranks[0]}
            _deal(left, ranks[0], _weight(pool), unlimited, shares)
    return shares


def _capacity(pool: PoolPolicy, policy: EndpointPolicy, seen: EndpointObserved) -> int:
    """Waiting tasks that it can take with all of its workers, as far as its rate limit keeps them busy, and still meet
    the pool's target."""
    workers = usable_workers(policy, seen)
    if pool.target.backlog_per_worker is not None:
        most = workers * max(pool.target.backlog_per_worker, policy.concurrency)
    else:
        rounds = max(1, math.floor(pool.target.drain_seconds / _seconds(seen)))
        most = workers * policy.concurrency * rounds
        rate = policy.limits.tasks_per_minute(seen.tokens_per_task)
        if rate is not None:
            most = min(most, math.ceil(rate * pool.target.drain_seconds / 60))
    return max(0, most - seen.inflight)


def usable_workers(policy: EndpointPolicy, seen: EndpointObserved) -> int:
    """Its maximum, or what its rate limit can keep busy when that is less."""
    rate = policy.limits.tasks_per_minute(seen.tokens_per_task)
    if rate is None:
        return policy.max_workers
    busy = busy_workers(rate, concurrency=policy.concurrency, seconds_per_task=seen.seconds_per_task)
    return min(policy.max_workers, busy)


def _seconds(seen: EndpointObserved) -> float:
    return ASSUMED_SECONDS_PER_TASK if seen.seconds_per_task is None else max(seen.seconds_per_task, 1e-3)


def _ranked(pool: PoolPolicy, able: Sequence[EndpointPolicy], seen: Seen) -> list[list[EndpointPolicy]]:
    """Endpoints that the strategy likes alike, the best first."""
    rank = _rank(pool, able, seen)
    ordered: Iterable[EndpointPolicy] = sorted(able, key=rank)
    return [list(alike) for _, alike in groupby(ordered, key=rank)]


def _rank(pool: PoolPolicy, able: Sequence[EndpointPolicy], seen: Seen) -> Callable[[EndpointPolicy], float]:
    if pool.strategy is Strategy.CHEAPEST:
        return lambda policy: policy.cost
    if pool.strategy is Strategy.FASTEST:
        # One that was never measured counts as fast: only work shows how fast it is.
        measured = [speed for policy in able if (speed := seen[policy.name].seconds_per_task) is not None]
        bound = _AS_FAST * min(measured, default=0.0)
        return lambda policy: (
            0.0 if (seen[policy.name].seconds_per_task or 0.0) <= bound else _seconds(seen[policy.name])
        )
    return lambda policy: 0.0


def _weight(pool: PoolPolicy) -> Callable[[EndpointPolicy], int]:
    if pool.strategy is Strategy.ROUND_ROBIN:
        return lambda policy: policy.concurrency
    if pool.strategy is Strategy.WEIGHTED:
        return lambda policy: policy.weight * policy.concurrency
    return lambda policy: policy.concurrency * policy.max_workers


def _deal(
    waiting: int,
    policies: Sequence[EndpointPolicy],
    weight: Callable[[EndpointPolicy], int],
    room: dict[str, int],
    shares: dict[str, int],
) -> int:
    """Give out up to ``waiting`` tasks as far as there is room, and take it; how many. Whoever is full drops out and
    the others share what is left: at most one more round for each of them."""
    left = waiting
    while left and (open_ := [policy for policy in policies if room[policy.name] > 0]):
        total = sum(weight(policy) for policy in open_)
        round_ = left
        for policy in open_:
            workerfuls = -(-round_ * weight(policy) // (total * policy.concurrency))
            share = min(left, workerfuls * policy.concurrency, room[policy.name])
            shares[policy.name] += share
            room[policy.name] -= share
            left -= share
    return waiting - left
