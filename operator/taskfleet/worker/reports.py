"""How far running tasks say that they are, on its way to the store: the newest of each, a few times a second."""

import asyncio
from collections.abc import Callable

from taskfleet.core.errors import StoreError
from taskfleet.core.events import Progress
from taskfleet.core.task import LeasedTask, QueueKey
from taskfleet.worker.storehealth import StoreHealth, pause_after
from taskfleet.worker.workplace import Workplace

PAUSE_SECONDS = 0.1


class Reports:
    """What could not be told is told with the next try, unless something newer takes its place or the task ends."""

    def __init__(self, store: Workplace, queue: QueueKey, health: StoreHealth) -> None:
        self._store = store
        self._queue = queue
        self._health = health
        self._loop = asyncio.get_running_loop()
        self._newest: dict[str, tuple[int, Progress]] = {}
        self._filled = asyncio.Event()

    def of(self, task: LeasedTask) -> Callable[[Progress], None]:
        """Tells how far this task is, from any thread. Late calls are refused by the store."""

        def tell(progress: Progress) -> None:
            self._loop.call_soon_threadsafe(self._take, task.id, task.fence, progress)

        return tell

    def _take(self, task_id: str, fence: int, progress: Progress) -> None:
        self._newest[task_id] = fence, progress
        self._filled.set()

    async def run(self) -> None:
        """Tell for ever."""
        failures = 0
        while True:
            await self._filled.wait()
            self._filled.clear()
            told, self._newest = self._newest, {}
            try:
                for task_id, (fence, progress) in told.items():
                    await self._store.progress(self._queue, task_id, fence, progress)
                failures = 0
            except StoreError as error:
                failures += 1
                self._health.failed(error)
                self._newest = told | self._newest
                self._filled.set()
                await asyncio.sleep(pause_after(failures))
            await asyncio.sleep(PAUSE_SECONDS)
