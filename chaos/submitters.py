"""Submitters: go on through every trouble, and remember what the store said yes to and what nobody knows."""

import asyncio
import random
import time
from collections.abc import Callable

import orjson

from chaos.history import History, Submission
from taskfleet.core.errors import DuplicateTask, StoreError, StoreUnreachable
from taskfleet.core.task import NewTask, Priority, QueueKey
from taskfleet.store import Store
from tests.support.workerprocess import MODEL

# Beyond a thousand a submission is brought in parts, and seen whole or not at all.
SIZES = (1, 10, 20, 50, 100, 1_200)
WEIGHTS = (10, 20, 30, 20, 10, 1)
SMALL = 10
SESSION = 8  # tasks of a session
PERSISTENT = 0.7  # the share of submissions that are sent again until it is known what became of them
GIVE_UP_SECONDS = 20.0
RETRY_SECONDS = 0.1


def new_tasks(ids: tuple[str, ...]) -> list[NewTask]:
    """One task for each id, which is its prompt as well. Small submissions are critical: there are so few of those
    that the others hardly wait for them, else no time until a rerun could be promised. The first of bigger ones are a
    session each."""
    priority = Priority.CRITICAL if len(ids) <= SMALL else Priority.NORMAL
    in_session = frozenset(ids[:SESSION]) if len(ids) > SMALL else frozenset()
    return [
        NewTask(
            name,
            MODEL,
            orjson.dumps({"messages": [{"role": "user", "content": name}], "parameters": {}, "metadata": {}}),
            priority=priority,
            session=ids[0] if name in in_session else None,
        )
        for name in ids
    ]


class Submitter:
    """``more`` says how many tasks may come now; 0 to wait, None when it is enough."""

    def __init__(
        self, number: int, store: Store, queue: QueueKey, history: History, rng: random.Random,
        more: Callable[[], int | None],
    ) -> None:  # fmt: skip
        self._name = f"s{number}"
        self._store = store
        self._queue = queue
        self._history = history
        self._rng = rng
        self._more = more

    async def run(self) -> None:
        number = 0
        while (room := self._more()) is not None:
            if not room:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            number += 1
            size = self._rng.choices(SIZES, WEIGHTS)[0]
            ids = tuple(f"{self._name}-{number}-{each}" for each in range(size))
            self._history.submissions += 1
            self._history.submitted += size
            if await self._accepted(ids, persistent=self._rng.random() < PERSISTENT):
                self._history.accepted.update(dict.fromkeys(ids, time.monotonic()))
            else:
                self._history.unknown.append(Submission(ids))
                self._history.submitted -= size

    async def _accepted(self, ids: tuple[str, ...], *, persistent: bool) -> bool:
        """Whether the store said yes; False when nobody knows."""
        tasks = new_tasks(ids)
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        tried_before = False
        while True:
            try:
                await self._store.submit(self._queue, tasks)
            except DuplicateTask:
                if not tried_before:
                    raise
                self._history.duplicates_told += 1
                return True
            except StoreUnreachable:
                if not persistent:
                    return False
            except StoreError:
                # A submission in parts that was cut off: its ids are taken until the store has given it up.
                if not tried_before:
                    raise
            else:
                return True
            tried_before = True
            if time.monotonic() > give_up_at:
                return False
            await asyncio.sleep(RETRY_SECONDS)
