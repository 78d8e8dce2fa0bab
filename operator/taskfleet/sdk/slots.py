"""How the calls that may run at once are shared over several endpoints: by the very rules that share workers over them
in a cluster, with one slot in place of one worker. Pure."""

from collections.abc import Mapping, Sequence

from taskfleet.api.endpoint import Endpoint
from taskfleet.core.plan import plan
from taskfleet.core.pool import EndpointObserved, EndpointPolicy, Observed, PoolPolicy, QueueObserved, Strategy
from taskfleet.core.scaling import Patience, ScalingTarget


def pool_policy(endpoints: Sequence[Endpoint], max_workers: int, strategy: Strategy) -> PoolPolicy:
    """``max_workers`` slots in all; an endpoint has no more than its ``concurrency``."""
    return PoolPolicy(
        endpoints=tuple(
            EndpointPolicy(
                name=endpoint.name,
                models=frozenset(endpoint.models),
                concurrency=1,
                max_workers=endpoint.concurrency,
                weight=endpoint.weight or 1,
                cost=sum(endpoint.prices),
            )
            for endpoint in endpoints
        ),
        min_workers=0,
        max_workers=max_workers,
        target=ScalingTarget(backlog_per_worker=1),
        patience=Patience(scale_down=0.0, scale_to_zero=0.0),
        strategy=strategy,
    )


def share_slots(
    pool: PoolPolicy,
    backlog: Mapping[str, int],
    endpoints: Mapping[str, EndpointObserved],
    busy: Mapping[str, int],
    now: float,
) -> dict[str, int]:
    """Slots of each endpoint for what waits (by model) and is in hand now, of which so many calls are ``busy``.

    What runs beyond an endpoint's new share goes on, so nobody grows into a slot before it is really free.
    """
    observed = Observed(queue=QueueObserved(backlog=backlog), endpoints=endpoints)
    slots = {decided.name: decided.workers for decided in plan(pool, observed, now).endpoints}
    over = sum(max(share, busy[name]) for name, share in slots.items()) - pool.max_workers
    for name, share in slots.items():
        cut = min(max(over, 0), max(share - busy[name], 0))
        slots[name] = share - cut
        over -= cut
    return slots
