"""How many workers one endpoint needs, and when a smaller number may be acted on. Pure arithmetic."""

import math
from dataclasses import dataclass

# Until a worker has measured its endpoint, a call is taken to last this long. Only the first few seconds of a
# pool's life depend on it: too low wakes fewer workers at first, too high wakes more than needed.
ASSUMED_SECONDS_PER_TASK = 2.0


@dataclass(frozen=True, slots=True)
class ScalingTarget:
    """What a pool aims at: ``drain_seconds`` to finish what waits, or ``backlog_per_worker`` tasks each."""

    drain_seconds: float | None = 60.0
    backlog_per_worker: int | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a smaller need must last before workers go: down to one, and from one to none."""

    scale_down: float = 60.0
    scale_to_zero: float = 120.0


@dataclass(frozen=True, slots=True)
class ScaleMemory:
    """What must be remembered of one endpoint between two plans.

    ``lower_since``: when the need fell below the workers there are; ``lower_peak``: the largest need since then;
    ``idle_since``: when the load became zero.
    """

    lower_since: float | None = None
    lower_peak: int = 0
    idle_since: float | None = None


def needed_workers(
    *,
    backlog: float,
    inflight: int,
    concurrency: int,
    seconds_per_task: float | None,
    target: ScalingTarget,
) -> int:
    """Workers for ``backlog`` waiting and ``inflight`` running tasks; never fewer than the running ones occupy.

    Never more than can be busy at once: a worker beyond one per ``concurrency`` tasks would have nothing to do.
    """
    load = backlog + inflight
    if load <= 0:
        return 0
    occupied = math.ceil(inflight / concurrency)
    usable = math.ceil(load / concurrency)
    if target.backlog_per_worker is not None:
        wanted = math.ceil(load / target.backlog_per_worker)
    else:
        seconds = seconds_per_task if seconds_per_task is not None else ASSUMED_SECONDS_PER_TASK
        wanted = math.ceil(load * seconds / concurrency / (target.drain_seconds or 60.0))
    return max(1, occupied, min(wanted, usable))


@dataclass(frozen=True, slots=True)
class Stabilised:
    """Workers to have now, what to remember, and when to look again (a time, or None when nothing is pending)."""

    workers: int
    memory: ScaleMemory
    look_again_at: float | None


def stabilise(*, current: int, wanted: int, patience: Patience, memory: ScaleMemory, now: float) -> Stabilised:
    """Grow at once; shrink only to the largest need seen during the delay, and to zero after its own delay."""
    idle_since = None if wanted else (memory.idle_since if memory.idle_since is not None else now)
    if wanted >= current:
        return Stabilised(wanted, ScaleMemory(idle_since=idle_since), None)

    lower_since = memory.lower_since if memory.lower_since is not None else now
    lower_peak = max(memory.lower_peak, wanted)
    kept = ScaleMemory(lower_since, lower_peak, idle_since)
    zero_due = None if idle_since is None else idle_since + patience.scale_to_zero
    if zero_due is not None and now >= zero_due:
        return Stabilised(0, ScaleMemory(idle_since=idle_since), None)

    down_due = lower_since + patience.scale_down
    floor = max(lower_peak, 1)
    if now >= down_due and floor < current:
        return Stabilised(floor, ScaleMemory(now, wanted, idle_since), zero_due)
    pending = [due for due in (down_due if floor < current else None, zero_due) if due is not None]
    if now >= down_due:  # the peak of this window holds us here; start a new one
        kept = ScaleMemory(now, wanted, idle_since)
        pending = [due for due in (now + patience.scale_down if wanted < current else None, zero_due) if due]
    return Stabilised(current, kept, min(pending, default=None))
