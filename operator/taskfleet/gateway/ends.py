"""Waiting for tasks to end: one connection hears of all ends, and many waits are one reading."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from taskfleet.core.task import QueueKey, TaskView
from taskfleet.store import Store
from taskfleet.store.watch import Watch

Sink = Callable[[TaskView], None]
Hear = Callable[[list[str]], None]


class Ends:
    """``run`` it as long as anyone waits."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watches: dict[QueueKey, Watch] = {}
        self._hearers: dict[QueueKey, Hear] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Hear of ends for ever."""
        async with asyncio.TaskGroup() as self._group:
            for watch in self._watches.values():
                self._group.create_task(watch.run())
            async for queue, ends in self._store.ends():
                if queue in self._watches:
                    self._watches[queue].heard(ends)
                if queue in self._hearers:
                    self._hearers[queue]([each for each, record in ends.items() if record is None])

    def hear(self, queue: QueueKey, hear: Hear | None) -> None:
        """Tell ``hear`` of all ends in a queue; None: of none any more."""
        if hear is None:
            self._hearers.pop(queue, None)
        else:
            self._hearers[queue] = hear

    @contextlib.contextmanager
    def expected(self, queue: QueueKey, task_id: str) -> Iterator["asyncio.Future[TaskView]"]:
        """The task once it has ended: of one that is submitted inside the block, no end is missed."""
        ended: asyncio.Future[TaskView] = asyncio.get_running_loop().create_future()

        def tell(view: TaskView) -> None:
            if not ended.done():
                ended.set_result(view)

        self.follow(queue, [task_id], tell)
        try:
            yield ended
        finally:
            self._watch(queue).drop(task_id, tell)

    def follow(self, queue: QueueKey, ids: Iterable[str], sink: Sink) -> None:
        """Tell ``sink`` when one of these ends."""
        self._watch(queue).follow(ids, sink)

    def drop(self, queue: QueueKey, ids: Iterable[str], sink: Sink) -> None:
        """``sink`` need not hear of these any more."""
        for task_id in ids:
            self._watch(queue).drop(task_id, sink)

    def nudge(self, queue: QueueKey, ids: Iterable[str]) -> None:
        """These may have ended just now."""
        self._watch(queue).nudge(ids)

    def _watch(self, queue: QueueKey) -> Watch:
        watch = self._watches.get(queue)
        if watch is None:
            watch = self._watches[queue] = Watch(partial(self._store.get, queue), _nobody, nudged=True)
            if self._group is not None:
                self._group.create_task(watch.run())
        return watch


def _nobody(_view: TaskView) -> None:
    """Each wait has its own sink."""
