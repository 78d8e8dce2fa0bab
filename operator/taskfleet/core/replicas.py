"""What ``spec.replicas`` of a pool must say: the number that others move, and whose first and last step are ours.

No HPA of today's clusters takes a pool from zero, and one that can looks every 15 seconds and knows no delay before
zero. So at zero the controller is the one that writes, on every cluster: it wakes the pool and lets it go back. From
one worker on only the HPA writes.
"""

from collections.abc import Mapping

from taskfleet.core.pool import AutoscalingMode, PoolPolicy, Seen
from taskfleet.core.scaling import ScaleMemory


def settled_replicas(pool: PoolPolicy, seen: Seen, *, needed: int | None, minimum: int, idle: bool) -> int | None:
    """What it must say now (None: nothing, for it does not count).

    ``needed``: workers that the load can use, None when that is not known. ``idle``: there has been no load for so long
    that the last worker goes. Where nothing is written yet, as after a change of mode, those who are there stay.
    """
    if pool.mode is AutoscalingMode.OPERATOR:
        return None
    said = pool.replicas if pool.replicas is not None else sum(endpoint.workers for endpoint in seen.values())
    if pool.mode is AutoscalingMode.EXTERNAL:
        return said
    if said == 0:
        return max(1, minimum) if needed or (minimum and needed is not None) else 0
    return 0 if idle and not minimum else said


def zero_due(memory: Mapping[str, ScaleMemory], seen: Seen, delay: float) -> float | None:
    """When the last worker of a pool goes if no task comes until then; None while any endpoint has load.

    Endpoints without workers have no past that counts: a controller that has just started knows none of it.
    """
    staffed = [name for name, endpoint in seen.items() if endpoint.workers] or list(seen)
    since = [memory[name].idle_since for name in seen]
    if not since or None in since:
        return None
    return max(memory[name].idle_since or 0.0 for name in staffed) + delay
