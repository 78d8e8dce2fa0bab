"""How many workers one endpoint needs, and when a smaller number may be acted on. Pure arithmetic."""

import math
from dataclasses import dataclass

# Until a worker has measured its endpoint, a call is taken to last this long. Only the first few seconds of a
# pool's life depend on it: too low wakes fewer workers at first, too high wakes more than needed.
ASSUMED_SECONDS_PER_TASK = 2.0


@dataclass(frozen=True, slots=True)
class ScalingTarget:
    """What a pool aims at: ``backlog_per_worker`` tasks each when set, else to be done in ``drain_seconds``."""

    drain_seconds: float = 60.0
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
        wanted = math.ceil(load * seconds / concurrency / target.drain_seconds)
    return max(1, occupied, min(wanted, usable))


def busy_workers(tasks_per_minute: float, *, concurrency: int, seconds_per_task: float | None) -> int:
    """Workers that a rate limit can keep busy, at least one: any beyond would only wait for it."""
    seconds = ASSUMED_SECONDS_PER_TASK if seconds_per_task is None else seconds_per_task
    return max(1, math.ceil(tasks_per_minute / 60 * seconds / concurrency))


@dataclass(frozen=True, slots=True)
class Stabilised:
    """Workers to have now, what to remember, and when to look again (a time, or None when nothing is pending)."""

    workers: int
    memory: ScaleMemory
    look_again_at: float | None


def stabilise(*, current: int, wanted: int, patience: Patience, memory: ScaleMemory, now: float) -> Stabilised:
    """Grow at once; shrink only to the largest need seen during the delay, and to zero after its own delay.

    The last worker leaves when there was no load for ``scale_to_zero`` seconds, whatever happened before.
    """
    idle_since = None if wanted else _first(memory.idle_since, now)
    if wanted >= current:
        return Stabilised(wanted, ScaleMemory(idle_since=idle_since), None)
    zero_due = None if idle_since is None else idle_since + patience.scale_to_zero
    if zero_due is not None and now >= zero_due:
        return Stabilised(0, ScaleMemory(idle_since=idle_since), None)

    lower_since = _first(memory.lower_since, now)
    peak = max(memory.lower_peak, wanted) if patience.scale_down else wanted  # no delay: no past that could hold
    workers = current
    if now >= lower_since + patience.scale_down:
        workers = min(current, max(peak, 1))
        lower_since, peak = now, wanted  # the next window begins: its own peak decides how far it goes down
    shrink_due = lower_since + patience.scale_down if max(wanted, 1) < workers else None
    pending = [due for due in (shrink_due, zero_due) if due is not None]
    return Stabilised(workers, ScaleMemory(lower_since, peak, idle_since), min(pending, default=None))


def remember_idle(wanted: int, memory: ScaleMemory, now: float) -> ScaleMemory:
    """All that is remembered where somebody else decides on every number but zero."""
    return ScaleMemory(idle_since=None if wanted else _first(memory.idle_since, now))


def _first(earlier: float | None, now: float) -> float:
    return now if earlier is None else earlier
