"""Numbers of several partitions as those of one queue. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from taskfleet.core.settlement import BatchCounts, QueueStats, Taken


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum for each name."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


def merged_stats(found: Sequence[QueueStats]) -> QueueStats:
    """Times are compared as they are: the clocks of a cluster's nodes must agree, as those of its workers need not."""
    first = found[0]
    return replace(
        first,
        pending=sum(stats.pending for stats in found),
        scheduled=sum(stats.scheduled for stats in found),
        running=sum(stats.running for stats in found),
        completed=sum(stats.completed for stats in found),
        failed=sum(stats.failed for stats in found),
        cancelled=sum(stats.cancelled for stats in found),
        expired=sum(stats.expired for stats in found),
        depth=added(stats.depth for stats in found),
        backlog=added(stats.backlog for stats in found),
        oldest_pending_at=_first(stats.oldest_pending_at for stats in found),
        next_due_at=_first(stats.next_due_at for stats in found),
        blocked=sum(stats.blocked for stats in found),
        counters=added(stats.counters for stats in found),
    )


def merged_batch(found: Sequence[BatchCounts]) -> BatchCounts:
    return BatchCounts(
        found[0].id,
        total=sum(counts.total for counts in found),
        completed=sum(counts.completed for counts in found),
        failed=sum(counts.failed for counts in found),
        cancelled=sum(counts.cancelled for counts in found),
        expired=sum(counts.expired for counts in found),
    )


def merged_taken(found: Sequence[Taken]) -> Taken:
    """Each partition's version is a time: the newest stands for all."""
    return Taken(
        tuple(task for taken in found for task in taken.tasks),
        frozenset[str]().union(*(taken.waiting for taken in found)),
        max(taken.policy_version for taken in found),
        all(taken.stopped for taken in found),
    )


def _first(times: Iterable[float | None]) -> float | None:
    return min((time for time in times if time is not None), default=None)
