"""Calls that the gateway makes itself (``online: Direct``, and ``Auto`` while no worker is ready).

Each is a task of the queue all the same: whoever waits for it waits as for any other, it counts and is kept as any
other, and when this gateway dies or cannot begin it, it is a worker's.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import replace

from prometheus_client import CollectorRegistry

from taskfleet.core.errors import TaskfleetError
from taskfleet.core.pool import Online
from taskfleet.core.task import NewTask, QueueKey, TaskView
from taskfleet.gateway.directcrew import ApiKeys, Crew
from taskfleet.gateway.ends import Ends
from taskfleet.gateway.queues import OpenQueue, Queues
from taskfleet.store import Store

log = logging.getLogger(__name__)

HOLD_SECONDS = 5.0  # workers leave a task alone for so long that the gateway is to run
LOOK_SECONDS = 1.0
IDLE_SECONDS = 60.0  # after which a queue that nobody called needs no workers here


class Direct:
    """``run`` it as long as the gateway serves."""

    def __init__(self, store: Store, queues: Queues, ends: Ends, api_keys: ApiKeys) -> None:
        self._store = store
        self._queues = queues
        self._ends = ends
        self._api_keys = api_keys
        self._crews: dict[QueueKey, Crew] = {}
        self._used: dict[QueueKey, float] = {}

    def held(self, queue: OpenQueue, task: NewTask) -> NewTask:
        """The task as it is to be submitted: one that this gateway is to run is not for workers at first."""
        if queue.spec.online is not Online.DIRECT or task.session is not None or not self._serves(queue, task.model):
            return task
        return replace(task, delay=HOLD_SECONDS)

    def offer(self, queue: OpenQueue, task: NewTask) -> None:
        """It is in the queue, and somebody waits for it here."""
        if self._serves(queue, task.model):
            self._crews[queue.key].offers.add(task)
            self._look(queue)

    def withdraw(self, queue: QueueKey, task_id: str) -> None:
        """Nobody waits for it here any more, and it is not to go on."""
        if queue in self._crews:
            self._crews[queue].offers.withdraw(task_id)

    def goes_on(self, queue: QueueKey, task_id: str) -> None:
        """Nobody waits for it here any more, and it is to be run all the same."""

        def ended(view: TaskView) -> None:
            self.withdraw(queue, view.id)

        if queue in self._crews:
            self._ends.follow(queue, [task_id], ended)

    def registries(self) -> Iterator[CollectorRegistry]:
        """What the workers here count."""
        for crew in self._crews.values():
            yield from crew.registries

    async def run(self) -> None:
        """See for ever which queues have workers that are ready; at the end what still runs is handed back."""
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                for key, crew in list(self._crews.items()):
                    await self._look_again(key, crew)
        finally:
            await asyncio.gather(*(crew.dismiss(hurry=True) for crew in self._crews.values()))

    async def _look_again(self, key: QueueKey, crew: Crew) -> None:
        if crew.offers:
            self._used[key] = time.monotonic()
            with contextlib.suppress(TaskfleetError):  # whoever waits hears of it by himself
                self._look(await self._queues.open(key))
        elif time.monotonic() > self._used[key] + IDLE_SECONDS:
            del self._crews[key], self._used[key]
            await crew.dismiss()

    def _serves(self, queue: OpenQueue, model: str) -> bool:
        if queue.spec.online is Online.QUEUE:
            return False
        if queue.key not in self._crews:
            self._crews[queue.key] = Crew(self._store, queue.key, self._api_keys)
        self._used[queue.key] = time.monotonic()
        crew = self._crews[queue.key]
        crew.see(queue)
        return crew.serves(queue, model)

    def _look(self, queue: OpenQueue) -> None:
        crew = self._crews[queue.key]
        crew.see(queue)
        lanes = frozenset(model.name for model in queue.spec.models)
        if queue.spec.online is Online.AUTO:
            lanes -= queue.models_with_workers
        if lanes != crew.offers.lanes:
            crew.offers.lanes = lanes
            crew.offers.ring()
        if crew.offers.wanted:
            crew.staff()
