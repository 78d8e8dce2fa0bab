"""When a task may run: its ``delay`` or ``not_before``, and its ``deadline``, as people write them.

A delay is a duration and begins when the store takes the task; the other two are moments in RFC 3339. The queue's
taskTTL counts from the end of the delay; a deadline is one whatever the delay.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskfleet.core.errors import InvalidTask
from taskfleet.core.quantities import parse_duration
from taskfleet.core.wiretime import moment_of

LONGEST_SECONDS = 8760 * 3600.0  # as for the durations of a TaskQueue: beyond it is a slip, such as milliseconds


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """Seconds: ``delay`` from being taken, the others since the epoch."""

    delay: float = 0.0
    not_before: float | None = None
    deadline: float | None = None


ANY_TIME = TaskTimes()


def task_times(fields: Mapping[str, Any]) -> TaskTimes:
    """The times among a task's fields. Raises InvalidTask: ``deadline: ...``."""
    if not fields.keys() & {"delay", "not_before", "deadline"}:
        return ANY_TIME
    if "delay" in fields and "not_before" in fields:
        raise InvalidTask("delay: both delay and not_before are given; give one of the two")
    now = time.time()
    times = TaskTimes(_delay(fields), _moment(fields, "not_before"), _moment(fields, "deadline"))
    if times.not_before is not None and times.not_before > now + LONGEST_SECONDS:
        raise InvalidTask(f"not_before: {fields['not_before']} is more than a year (8760h) ahead; give an earlier time")
    if times.deadline is not None and times.deadline <= max(now + times.delay, times.not_before or 0.0):
        why = "has passed" if times.deadline <= now else "comes before the task may run"
        raise InvalidTask(f"deadline: {fields['deadline']} {why}; the task would never run, give a later time")
    return times


def _delay(fields: Mapping[str, Any]) -> float:
    if "delay" not in fields:
        return 0.0
    text = fields["delay"]
    try:
        seconds = parse_duration(text) if isinstance(text, str) else -1.0
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise InvalidTask(f'delay: {text!r} is not a duration of at most 8760h; write a string such as "1h30m"')
    return seconds


def _moment(fields: Mapping[str, Any], name: str) -> float | None:
    if name not in fields:
        return None
    try:
        return moment_of(fields[name])
    except ValueError as error:
        raise InvalidTask(f"{name}: {error}") from None
