"""How the parallel commands show a run: its counts, and why items failed."""

from typing import Any

from taskfleet.cli import exits
from taskfleet.cli.output import Output
from taskfleet.core.parallel.rules import ItemStatus, RunState
from taskfleet.core.quantities import format_duration
from taskfleet.core.task import QueueKey
from taskfleet.core.wiretime import wire_time
from taskfleet.parallel.record import Record

MOST_CAUSES = 5


def summary(queue: QueueKey, name: str, record: Record) -> dict[str, Any]:
    """A run as plain data. Times are in UTC; ``causes`` are the reasons of failed items, commonest first."""
    tally = record.tally
    return {
        "name": name,
        "queue": str(queue),
        "state": record.state.value,
        "reason": record.reason or None,
        "total": record.total,
        "taken": record.taken,
        "open": record.taken - tally.done,
        "items": {status.value: count for status, count in tally.items.items()},
        "steps": tally.steps,
        "causes": [{"count": count, "cause": cause} for cause, count in tally.commonest(MOST_CAUSES)],
        "began": wire_time(record.began),
        "finished": wire_time(record.finished) if record.finished is not None else None,
    }


def show(output: Output, name: str, record: Record) -> None:
    """For people: a line with the counts, and a table of causes where items failed."""
    output.result({}, in_words(name, record))
    causes = record.tally.commonest(MOST_CAUSES)
    if causes:
        output.table("failed items by cause", ("cause", "items"), [(cause, count) for cause, count in causes])


def in_words(name: str, record: Record) -> str:
    """``checks: completed after 12s: 10 items: 9 completed, 1 failed``."""
    tally = record.tally
    counts = [f"{count} {status.value}" for status, count in tally.items.items() if count]
    if open_items := record.taken - tally.done:
        counts.append(f"{open_items} open")
    if record.total is not None and record.total > record.taken:
        counts.append(f"{record.total - record.taken} not begun")
    took = "" if record.finished is None else f" after {format_duration(record.finished - record.began)}"
    why = f" ({record.reason})" if record.reason else ""
    number = record.taken if record.total is None else record.total
    items = f"{number} item{'' if number == 1 else 's'}"
    return f"{name}: {record.state}{took}{why}: {items}{': ' if counts else ''}{', '.join(counts)}"


def exit_code(*records: Record) -> int:
    """Failures weigh more than what is not finished."""
    failed = any(
        record.state not in (RunState.COMPLETED, RunState.RUNNING) or record.tally.items[ItemStatus.FAILED]
        for record in records
    )
    if failed:
        return exits.TASKS_FAILED
    return exits.OK if all(record.state.is_final for record in records) else exits.NOT_FINISHED
