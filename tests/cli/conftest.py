"""Fixtures for commands against a real store."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.controller.policy import queue_policy
from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import QueueKey, TaskError, Usage
from taskfleet.store import Store
from tests.support.commands import taskfleet as taskfleet  # a fixture

T = TypeVar("T")


class Remote:
    """The queue ``name`` in a store elsewhere, found by TASKFLEET_STORE_URL."""

    def __init__(self, url: str, key: QueueKey) -> None:
        self.url = url
        self.key = key
        self.name = str(key)

    def ask(self, question: Callable[[Store], Awaitable[T]]) -> T:
        async def connected() -> T:
            store = await Store.connect(self.url)
            try:
                return await question(store)
            finally:
                await store.close()

        return asyncio.run(connected())

    def pending(self) -> int:
        stats = self.ask(lambda store: store.stats(self.key))
        assert stats is not None
        return stats.pending

    def work(self, *, failing: str = "", count: int = 1000) -> int:
        """Take up to ``count`` tasks and end them as a worker would; those whose body has ``failing`` in it fail."""

        async def settle(store: Store) -> int:
            claim = await store.claim(self.key, "w-1", ["small", "large"], count)
            await store.settle(
                self.key,
                [
                    Settlement(task.id, task.fence, Verdict.FAIL, error=TaskError("bad_request", "no such thing", 400))
                    if failing and failing.encode() in task.body
                    else Settlement(
                        task.id, task.fence, Verdict.COMPLETE, output=f"did {task.id}", usage=Usage(3, 2), endpoint="e"
                    )
                    for task in claim.tasks
                ],
            )
            return len(claim.tasks)

        return self.ask(settle)


SPEC = TaskQueueSpec.model_validate(
    {
        "models": [{"name": "small", "aliases": ["fast"]}, {"name": "large"}],
        "limits": {"maxTaskBytes": "2Ki", "maxPending": 200_000},
    }
)


@pytest.fixture
def remote(store_url: str, queue: QueueKey, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """A queue with the models small (alias fast) and large, and tasks of at most 2 KiB."""
    monkeypatch.setenv("TASKFLEET_STORE_URL", store_url)
    own = Remote(store_url, queue)
    own.ask(lambda store: store.put_policy(queue, queue_policy(SPEC)))
    return own
