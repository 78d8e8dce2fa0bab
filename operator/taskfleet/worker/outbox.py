"""Finished work on its way to the store: settled in batches, and kept while the store is away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson

from taskfleet.core.errors import StoreError
from taskfleet.core.settlement import Settlement
from taskfleet.core.task import QueueKey
from taskfleet.worker.storehealth import StoreHealth, pause_after
from taskfleet.worker.workplace import Workplace

log = logging.getLogger(__name__)

LARGEST_BATCH = 256
LARGEST_BATCH_BYTES = 8_000_000  # a batch is one command to the store, and long texts hold it up


class Outbox:
    """Settlements that the store has not taken yet. Their leases must be renewed like those of running calls.

    ``stuck``: results wait because the store did not take the last batch. ``before`` is awaited before each batch: what
    must be in the store earlier than a task's end. ``on_settled`` is told the ids of each batch that it took.
    """

    def __init__(
        self,
        store: Workplace,
        queue: QueueKey,
        health: StoreHealth,
        before: Callable[[], Awaitable[None]],
        on_settled: Callable[[Sequence[str]], None] = lambda _ids: None,
    ) -> None:
        self._store = store
        self._queue = queue
        self._health = health
        self._before = before
        self._on_settled = on_settled
        self._refused = False
        self._waiting: dict[str, Settlement] = {}
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def stuck(self) -> bool:
        """False also when the last one was dropped, even during a settling that fails: no later one could tell."""
        return self._refused and bool(self._waiting)

    def put(self, settlement: Settlement) -> None:
        self._waiting[settlement.task_id] = settlement
        self._filled.set()
        self._empty.clear()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def leases(self) -> dict[str, int]:
        return {settlement.task_id: settlement.fence for settlement in self._waiting.values()}

    def drop(self, task_id: str, fence: int) -> None:
        """Forget a result whose lease is no longer ours."""
        settlement = self._waiting.get(task_id)
        if settlement is not None and settlement.fence == fence:
            self._forget([settlement])

    async def until_empty(self) -> None:
        await self._empty.wait()

    async def run(self) -> None:
        """Settle for ever: whatever finished while the last batch was on its way is the next batch."""
        failures = 0
        while True:
            await self._filled.wait()
            batch = self._next_batch()
            try:
                await self._before()
                accepted = await self._store.settle(self._queue, batch)
            except StoreError as error:
                failures += 1
                self._refused = True
                self._health.failed(error)
                await asyncio.sleep(pause_after(failures))
                continue
            failures = 0
            self._refused = False
            self._health.served()
            self._forget(batch)
            for settlement, taken in zip(batch, accepted, strict=True):
                if not taken:
                    log.warning("a late result was refused by its fence", extra={"task": settlement.task_id})
            self._on_settled([settlement.task_id for settlement in batch])

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
        if not self._waiting:
            self._filled.clear()
            self._empty.set()


def _size(output: str | Mapping[str, Any] | None) -> int:
    """Bytes, near enough; a text is not encoded for it."""
    return len(output) if isinstance(output, str) else len(orjson.dumps(output))
