"""The status of a ParallelQueue, out of its run's record and what it waits for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.api.status import Cause, ConditionStatus, ParallelQueueStatus, StepCounts
from taskfleet.core.conditions import Condition, Status, merge_conditions
from taskfleet.core.needs import count
from taskfleet.core.parallel.phase import Phase
from taskfleet.core.parallel.rules import ItemStatus
from taskfleet.core.wiretime import wire_time
from taskfleet.parallel.record import Record

MOST_CAUSES = 5
_FROM_THE_RUN = (
    "progress",
    "total",
    "open",
    "completed",
    "failed",
    "cancelled",
    "steps",
    "causes",
    "startTime",
    "endTime",
)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at it. ``record`` is that of its run, None before there is one, or while it cannot be seen. ``trouble``:
    why it stands still, as a reason and a sentence."""

    record: Record | None = None
    trouble: tuple[str, str] | None = None
    doing: tuple[str, str] = ("Running", "its items go through their steps")


def status_of(queue: ParallelQueue, look: Look, last: Mapping[str, Any], now: str) -> dict[str, Any]:
    """The whole status. What cannot be seen now stays as ``last`` had it."""
    record = look.record
    phase = Phase.of(record.state) if record is not None else Phase(last.get("phase", Phase.PENDING))
    conditions = (_ready(look, phase), _ended(record, phase))
    merged = merge_conditions(last.get("conditions", ()), conditions, generation=queue.metadata.generation, now=now)
    frame = ParallelQueueStatus(
        observed_generation=queue.metadata.generation,
        phase=phase,
        conditions=[ConditionStatus.model_validate(condition) for condition in merged],
    )
    if record is None:
        return frame.to_wire() | {name: last[name] for name in _FROM_THE_RUN if name in last}
    return frame.model_copy(update=_numbers(record)).to_wire()


def in_words(record: Record) -> str:
    """``10 items: 9 completed, 1 failed``."""
    counts = ", ".join(f"{number} {status.value}" for status, number in record.tally.items.items() if number)
    items = count(record.taken if record.total is None else record.total, "item")
    return f"{items}{f': {counts}' if counts else ''}"


def _numbers(record: Record) -> dict[str, Any]:
    tally = record.tally
    steps = [step["name"] for step in record.spec["actionLoop"]]
    order = dict.fromkeys([*(name for name in steps if name in tally.steps), *sorted(tally.steps)])
    return {
        "progress": f"{tally.done}" if record.total is None else f"{tally.done}/{record.total}",
        "total": record.total,
        "open": record.taken - tally.done,
        "completed": tally.items[ItemStatus.COMPLETED],
        "failed": tally.items[ItemStatus.FAILED],
        "cancelled": tally.items[ItemStatus.CANCELLED],
        "steps": [StepCounts(name=name, **tally.steps[name]) for name in order],
        "causes": [Cause(cause=cause, items=items) for cause, items in tally.commonest(MOST_CAUSES)],
        "start_time": wire_time(record.began),
        "end_time": None if record.finished is None else wire_time(record.finished),
    }


def _ready(look: Look, phase: Phase) -> Condition:
    if look.trouble is not None:
        return Condition("Ready", Status.FALSE, *look.trouble)
    if look.record is None or not phase.is_final:
        return Condition("Ready", Status.TRUE, *look.doing)
    well = Status.TRUE if phase is Phase.COMPLETED else Status.FALSE
    return Condition("Ready", well, phase.value, _end_in_words(look.record))


def _ended(record: Record | None, phase: Phase) -> Condition:
    if record is None or not phase.is_final:
        return Condition("Ended", Status.FALSE, phase.value, "it has not ended")
    return Condition("Ended", Status.TRUE, phase.value, _end_in_words(record))


def _end_in_words(record: Record) -> str:
    return f"{record.reason}; {in_words(record)}" if record.reason else in_words(record)
