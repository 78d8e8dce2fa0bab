"""The pure part of a controller's work: what it takes to plan many endpoints, all with work and of all speeds."""

import time

from taskfleet.core.plan import plan
from taskfleet.core.pool import PoolPolicy
from tests.core.given import endpoint, has, pool, seen, waiting

IN_A_POOL = 100  # as many as a pool may have
ROUNDS = 5


def seconds_to_plan(endpoints: int) -> float:
    """CPU seconds for one plan of each of so many endpoints' pools; the best of a few rounds."""
    pools = [busy_pool(number) for number in range(endpoints // IN_A_POOL)]
    took = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for number, each in enumerate(pools):
            observed = {
                policy.name: has(at % 4, inflight=at % 8, seconds_per_task=0.5 + at % 7)
                for at, policy in enumerate(each.endpoints)
            }
            plan(each, seen(waiting(small=100 * number + 1, large=50 * number), **observed), 1000.0)
        took.append(time.process_time() - began)
    return min(took)


def busy_pool(number: int) -> PoolPolicy:
    names = [f"e{number}x{at}" for at in range(IN_A_POOL)]
    serves = ("small", "large")
    return pool(*(endpoint(name, models=serves[at % 2]) for at, name in enumerate(names)), max_workers=500)
