"""The pool's maximum and minimum, applied to what its endpoints would have."""

from collections.abc import Mapping

from taskfleet.core.needs import Need, level
from taskfleet.core.pool import PoolPolicy, Seen


def within_maximum(pool: PoolPolicy, needs: Mapping[str, Need], kept: Mapping[str, int]) -> dict[str, int]:
    """Share out ``maxWorkers``. ``kept`` is what each endpoint has after its delays, at least its need.

    First everyone gets one worker (those with tasks before those that are only kept), so that no model starves; then
    come the workers that run tasks, then the rest of the needs, and last what is only kept for a while.
    """
    names = [policy.name for policy in pool.endpoints]
    tiers = [
        [min(1, needs[name].workers) for name in names],
        [min(1, kept[name]) for name in names],
        [needs[name].occupied for name in names],
        [needs[name].workers for name in names],
        [kept[name] for name in names],
    ]
    given = [0] * len(names)
    for tier in tiers:
        missing = [max(0, wanted - have) for wanted, have in zip(tier, given, strict=True)]
        dealt = level(missing, pool.max_workers - sum(given))
        given = [have + more for have, more in zip(given, dealt, strict=True)]
    return dict(zip(names, given, strict=True))


def raised_to_minimum(pool: PoolPolicy, given: Mapping[str, int], seen: Seen) -> dict[str, int]:
    """Fill up to ``minWorkers``: keep workers that are there before starting others, on healthy endpoints first."""
    raised = dict(given)
    missing = pool.min_workers - sum(raised.values())
    healthy_first = sorted(pool.endpoints, key=lambda policy: seen[policy.name].healthy is False)
    for limit_to_present in (True, False):
        for policy in healthy_first:
            limit = min(policy.max_workers, seen[policy.name].workers) if limit_to_present else policy.max_workers
            extra = min(missing, limit - raised[policy.name])
            if extra > 0:
                raised[policy.name] += extra
                missing -= extra
    return raised
