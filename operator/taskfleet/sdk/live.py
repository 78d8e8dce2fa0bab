"""What a started queue object has: its backend, its watch, and the count of what it did."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from taskfleet.core import events
from taskfleet.core.task import TaskState, TaskView
from taskfleet.sdk.backend import Backend
from taskfleet.sdk.callers import RAISED
from taskfleet.sdk.results import Progress, TaskResult
from taskfleet.sdk.tally import Tally
from taskfleet.store.watch import Watch

log = logging.getLogger(__name__)

ProgressCallback = Callable[[Progress], object]


@dataclass(slots=True)
class News:
    """Counts what happens and tells those who want to hear. ``listeners`` are called in turn, on the event loop.

    ``reported_here``: open tasks of which a handler in this process has told; the store tells of them later.
    """

    tally: Tally = field(default_factory=Tally)
    listeners: list[ProgressCallback] = field(default_factory=list)
    reported_here: set[str] = field(default_factory=set)

    def ended(self, view: TaskView) -> None:
        self.reported_here.discard(view.id)
        self.tally.ended(view, TaskResult(view).model, time.monotonic())
        if self.listeners:
            self.tell(view.id, view.state, 1.0, view.error.message if view.error else "")

    def progressed(self, task_id: str, told: events.Progress) -> None:
        self.tell(task_id, TaskState.RUNNING, told.fraction or 0.0, told.message)

    def tell(self, task_id: str, status: TaskState, fraction: float, message: str) -> None:
        counts = self.tally
        news = Progress(
            task=task_id,
            status=status,
            fraction=fraction,
            message=message,
            submitted=counts.submitted,
            completed=counts.all.completed,
            failed=counts.all.failed,
            cancelled=counts.cancelled,
        )
        for listener in list(self.listeners):
            try:
                listener(news)
            except RAISED:
                log.exception("a callback of on_progress broke")


@dataclass(frozen=True, slots=True)
class Live:
    """A started queue. ``takes_any_model``: a handler serves whatever model is asked for. ``runs``: over datasets, each
    as what ends it when the queue is stopped."""

    backend: Backend
    watch: Watch
    news: News
    takes_any_model: bool
    runs: set[Callable[[], Awaitable[None]]] = field(default_factory=set)

    async def events(self, task_id: str, after: str) -> AsyncIterator[events.TaskEvent]:
        """What is told of a task. Raises what broke the queue meanwhile."""
        found = self.backend.events(task_id, after)
        while (event := await self.watch.unless_broken(asyncio.ensure_future(anext(found, None)))) is not None:
            yield event

    def took(self, ids: Sequence[str]) -> None:
        """These are in the queue; some may have ended already."""
        self.news.tally.took(len(ids), time.monotonic())
