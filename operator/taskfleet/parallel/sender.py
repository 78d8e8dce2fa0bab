"""Brings steps to the queue as tasks, and ends them there: one call for all that there is at a moment."""

import asyncio
from collections.abc import Callable

from taskfleet.core.errors import QueueFull, StoreOutOfMemory, StoreUnreachable
from taskfleet.core.task import NewTask, QueueKey
from taskfleet.store import Store
from taskfleet.store.watch import Watch

TROUBLE_SECONDS = 0.5


class Sender:
    """``gone`` hears of tasks that were to be cancelled and are not there. A queue that is full, or a store that cannot
    be reached, is waited for; ``trouble`` says so. Keep ``run`` running."""

    def __init__(self, store: Store, queue: QueueKey, watch: Watch, gone: Callable[[str], None]) -> None:
        self.trouble = ""
        self._store = store
        self._queue = queue
        self._watch = watch
        self._gone = gone
        self._tasks: dict[str, NewTask] = {}
        self._cancels: dict[str, None] = {}
        self._something = asyncio.Event()

    def submit(self, task: NewTask) -> None:
        self._tasks[task.id] = task
        self._something.set()

    def cancel(self, task_id: str) -> None:
        """End a task, whether it has been sent or not."""
        self._tasks.pop(task_id, None)
        self._cancels[task_id] = None
        self._something.set()

    async def run(self) -> None:
        """Raises NotFound when there is no such queue, and what else cannot be waited for."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self._tasks or self._cancels:
                await self._send_all()

    async def _send_all(self) -> None:
        tasks, self._tasks = self._tasks, {}
        try:
            if tasks:
                self._watch.follow(tasks)
                new = await self._store.submit(self._queue, list(tasks.values()))
                if new < len(tasks):  # an earlier coordinator's, which may have ended while nobody listened
                    self._watch.nudge(tasks)
                tasks = {}
            while self._cancels:
                await self._cancel_all()
            self.trouble = ""
        except QueueFull as error:
            await self._wait(tasks, str(error), error.retry_after)
        except (StoreUnreachable, StoreOutOfMemory) as error:
            await self._wait(tasks, str(error), TROUBLE_SECONDS)

    async def _cancel_all(self) -> None:
        ids = list(self._cancels)
        self._watch.follow(ids)
        for task_id, word in (await self._store.cancel(self._queue, ids)).items():
            del self._cancels[task_id]
            if word == "not_found":
                self._watch.unfollow([task_id])
                self._gone(task_id)
        self._watch.nudge(ids)

    async def _wait(self, tasks: dict[str, NewTask], trouble: str, seconds: float) -> None:
        """Send them again later, but for those that are to be cancelled by then. They may have come, and are cancelled
        then as others are."""
        self.trouble = trouble
        await asyncio.sleep(seconds)
        self._tasks = {each: task for each, task in tasks.items() if each not in self._cancels} | self._tasks
        self._something.set()
