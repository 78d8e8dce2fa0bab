"""What became of the tasks that ended, counted as they end. Pure; times are seconds of any steady clock."""

from dataclasses import dataclass, field
from typing import Any

from taskfleet.core.settlement import QueueStats
from taskfleet.core.task import TaskState, TaskView
from taskfleet.sdk.results import Stats


@dataclass(slots=True)
class Count:
    """Of one model, one endpoint, or all."""

    completed: int = 0
    failed: int = 0
    seconds: float = 0.0
    timed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, view: TaskView) -> None:
        self.completed += view.state is TaskState.COMPLETED
        self.failed += view.state is TaskState.FAILED
        if view.run_seconds is not None:
            self.seconds += view.run_seconds
            self.timed += 1
        if view.usage is not None:
            self.input_tokens += view.usage.input_tokens
            self.output_tokens += view.usage.output_tokens

    @property
    def avg_time(self) -> float:
        return self.seconds / self.timed if self.timed else 0.0

    @property
    def success_rate(self) -> float:
        judged = self.completed + self.failed
        return self.completed / judged if judged else 0.0

    @property
    def tokens(self) -> dict[str, int]:
        total = self.input_tokens + self.output_tokens
        return {"input": self.input_tokens, "output": self.output_tokens, "total": total}

    def to_dict(self) -> dict[str, Any]:
        return {
            "completed": self.completed,
            "failed": self.failed,
            "avg_time": self.avg_time,
            "success_rate": self.success_rate,
            "tokens": self.tokens,
        }


@dataclass(slots=True)
class Tally:
    """Everything that one queue object submitted and saw end."""

    submitted: int = 0
    cancelled: int = 0
    all: Count = field(default_factory=Count)
    models: dict[str, Count] = field(default_factory=dict)
    endpoints: dict[str, Count] = field(default_factory=dict)
    _first: float | None = None
    _last: float | None = None

    def took(self, number: int, now: float) -> None:
        """So many tasks were submitted."""
        self.submitted += number
        if self._first is None:
            self._first = now

    def ended(self, view: TaskView, model: str, now: float) -> None:
        self._last = now
        self.cancelled += view.state is TaskState.CANCELLED
        self.all.add(view)
        self.models.setdefault(model, Count()).add(view)
        if view.endpoint:
            self.endpoints.setdefault(view.endpoint, Count()).add(view)

    @property
    def throughput(self) -> float:
        if self._first is None or self._last is None:
            return 0.0
        return (self.all.completed + self.all.failed) / max(self._last - self._first, 1e-3)


def stats_of(counts: QueueStats, tally: Tally) -> Stats:
    """The queue's counts and ours, as a caller reads them."""
    return Stats(
        submitted=counts.counters.get("enqueued", 0),
        pending=counts.pending + counts.scheduled,
        running=counts.running,
        completed=counts.completed,
        failed=counts.failed,
        cancelled=counts.cancelled,
        expired=counts.expired,
        avg_time=tally.all.avg_time,
        success_rate=tally.all.success_rate,
        throughput=tally.throughput,
        tokens=tally.all.tokens,
        models={name: count.to_dict() for name, count in tally.models.items()},
        endpoints={name: count.to_dict() for name, count in tally.endpoints.items()},
    )
