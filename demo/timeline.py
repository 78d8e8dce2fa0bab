"""What happened while the demo ran: the queue and the workers at moments in time, as ``taskfleet up -o json`` says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Moment:
    """The queue and its workers, ``seconds`` after the submit."""

    seconds: float
    waiting: int
    running: int
    completed: int
    failed: int
    workers: int

    @property
    def finished(self) -> int:
        return self.completed + self.failed


def moment(line: Mapping[str, Any], submitted_at: float) -> Moment:
    """The moment of one ``{"time", "snapshot"}`` line."""
    queues, endpoints = line["snapshot"]["queues"], line["snapshot"]["endpoints"]
    return Moment(
        seconds=round(line["time"] - submitted_at, 3),
        waiting=sum(queue["pending"] for queue in queues),
        running=sum(queue["running"] for queue in queues),
        completed=sum(queue["completed"] for queue in queues),
        failed=sum(queue["failed"] for queue in queues),
        workers=sum(endpoint["workers"] for endpoint in endpoints),
    )


def submit_time(line: Mapping[str, Any]) -> float | None:
    """When the tasks of a ``{"time", "snapshot"}`` line were submitted; None when there are none yet."""
    if not line["snapshot"]["enqueued"]:
        return None
    waited = max((queue["oldest_seconds"] or 0.0 for queue in line["snapshot"]["queues"]), default=0.0)
    return float(line["time"]) - waited


def course(workers: Sequence[int]) -> list[int]:
    """The turning points of a series: ``0 0 3 4 4 2 0`` is ``0 4 0``."""
    turns: list[int] = []
    for count in workers:
        if turns and turns[-1] == count:
            continue
        if len(turns) > 1 and (turns[-1] - turns[-2]) * (count - turns[-1]) > 0:
            turns[-1] = count
        else:
            turns.append(count)
    return turns


def rate_over_time(
    finished: Sequence[float], end: float, width: float, step: float = 0.25
) -> list[tuple[float, float]]:
    """Finished tasks a second around each moment up to ``end``, averaged over ``width`` seconds."""
    points = []
    for number in range(int(end / step) + 1):
        at = number * step
        low, high = max(0.0, at - width / 2), min(end, at + width / 2)
        points.append((at, sum(low < time <= high for time in finished) / (high - low)))
    return points
