"""Finished work on its way to the store: settled in batches, and kept while the store is away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from taskfleet.core.completed import completed_view
from taskfleet.core.errors import StoreError
from taskfleet.core.settlement import Settlement
from taskfleet.core.task import LeasedTask, QueueKey, TaskView
from taskfleet.worker.storehealth import StoreHealth, pause_after
from taskfleet.worker.workplace import Workplace

log = logging.getLogger(__name__)

# Tasks whose leases ended, each as it is now where that is known.
OnSettled = Callable[[Mapping[str, TaskView | None]], None]

LARGEST_BATCH = 256
LARGEST_BATCH_BYTES = 8_000_000  # a batch is one command to the store, and long texts hold it up
GATHER_SECONDS = 0.003


class Outbox:
    """Settlements that the store has not taken yet. Their leases must be renewed like those of running calls.

    ``stuck``: results wait because the store did not take the last batch. ``before`` is awaited before each batch: what
    must be in the store earlier than a task's end. ``busy`` says whether the worker has all that it can do at once.
    ``on_settled`` is told of each batch that the store took.
    """

    def __init__(
        self,
        store: Workplace,
        queue: QueueKey,
        worker: str,
        health: StoreHealth,
        before: Callable[[], Awaitable[None]],
        busy: Callable[[], bool],
        on_settled: OnSettled | None = None,
    ) -> None:
        self._store = store
        self._queue = queue
        self._worker = worker
        self._health = health
        self._before = before
        self._busy = busy
        self._on_settled = on_settled
        self._refused = False
        self._on_its_way: list[Settlement] = []
        self._waiting: dict[str, Settlement] = {}
        self._tasks: dict[str, LeasedTask] = {}  # of those, where somebody wants to be told
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def stuck(self) -> bool:
        """False also when the last one was dropped, even during a settling that fails: no later one could tell."""
        return self._refused and bool(self._waiting)

    def put(self, settlement: Settlement, task: LeasedTask) -> None:
        self._waiting[task.id] = settlement
        if self._on_settled is not None:
            self._tasks[task.id] = task
        self._filled.set()
        self._empty.clear()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def leases(self) -> dict[str, int]:
        return {settlement.task_id: settlement.fence for settlement in self._waiting.values()}

    def drop(self, task_id: str, fence: int) -> None:
        """Forget a result whose lease is no longer ours. Not one that is on its way: its lease may have ended just
        because it has arrived, and the answer tells."""
        settlement = self._waiting.get(task_id)
        on_its_way = any(each is settlement for each in self._on_its_way)
        if settlement is not None and settlement.fence == fence and not on_its_way:
            log.warning("a lease was lost; its result is dropped", extra={"task": task_id})
            self._forget([settlement])

    async def until_empty(self) -> None:
        await self._empty.wait()

    async def run(self) -> None:
        """Settle for ever: whatever finished while the last batch was on its way is the next batch.

        Where that was more than one, results come thick: then some more are waited for, as a batch costs the store, and
        the turns that it takes from worker and model server on a busy machine, more than what is in it. Not by a worker
        that could do more: somebody may wait for these results to say what is next.
        """
        failures = 0
        while True:
            await self._filled.wait()
            batch = self._on_its_way = self._next_batch()
            try:
                await self._before()
                accepted = await self._store.settle(self._queue, batch)
            except StoreError as error:
                failures += 1
                self._refused = True
                self._health.failed(error)
                self._on_its_way = []
                await asyncio.sleep(pause_after(failures))
                continue
            failures = 0
            self._refused = False
            self._health.served()
            for settlement, taken in zip(batch, accepted, strict=True):
                if not taken:
                    log.warning("a late result was refused by its fence", extra={"task": settlement.task_id})
            if self._on_settled is not None:
                self._on_settled(dict(map(self._as_settled, batch, accepted)))
            self._forget(batch)
            self._on_its_way = []
            if len(batch) > 1 and len(self._waiting) < LARGEST_BATCH and self._busy():
                await asyncio.sleep(GATHER_SECONDS)

    def _as_settled(self, settlement: Settlement, taken: bool) -> tuple[str, TaskView | None]:
        task = self._tasks.get(settlement.task_id)
        if task is None or task.fence != settlement.fence or not taken:
            return settlement.task_id, None
        return settlement.task_id, completed_view(task, settlement, self._worker)

    def _next_batch(self) -> list[Settlement]:
        """The oldest results, at least one, that fit in one command."""
        batch: list[Settlement] = []
        size = 0
        for settlement in self._waiting.values():
            size += _size(settlement.output)
            if batch and (len(batch) == LARGEST_BATCH or size > LARGEST_BATCH_BYTES):
                break
            batch.append(settlement)
        return batch

    def _forget(self, settled: list[Settlement]) -> None:
        for settlement in settled:
            if self._waiting.get(settlement.task_id) is settlement:  # not a newer lease's
                del self._waiting[settlement.task_id]
                self._tasks.pop(settlement.task_id, None)
        if not self._waiting:
            self._filled.clear()
            self._empty.set()


def _size(output: str | Mapping[str, Any] | None) -> int:
    """Bytes, near enough; a text is not encoded for it."""
    return len(output) if isinstance(output, str) else len(orjson.dumps(output))
