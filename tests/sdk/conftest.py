"""A queue object in both of its homes: in this process, and against a store that has its queue already."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from taskfleet import ParallelTaskQueue
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.support.workerprocess import quick_policy

QUICK: dict[str, Any] = {"retry": {"maxAttempts": 2, "initialDelay": "20ms", "maxDelay": "50ms"}, "taskTimeout": "20s"}

Make = Callable[..., Awaitable[ParallelTaskQueue]]


@pytest.fixture(params=["in process", "store"])
def make(
    request: pytest.FixtureRequest, store: Store, store_url: str, queue: QueueKey, runner: asyncio.Runner
) -> Iterator[Make]:
    """Makes a started queue object; each is stopped at the end if it still runs."""
    made: list[ParallelTaskQueue] = []
    ticking: list[asyncio.Task[None]] = []

    async def started(*arguments: Any, policy: dict[str, Any] | None = None, **options: Any) -> ParallelTaskQueue:
        spec = {**QUICK, **(policy or {})}
        if request.param == "store":
            await store.put_policy(queue, quick_policy(**spec))
            ticking.append(asyncio.create_task(tick(store, queue)))
            here = ParallelTaskQueue(*arguments, url=store_url, queue=str(queue), **options)
        else:
            here = ParallelTaskQueue(*arguments, policy=spec, **options)
        await here.start()
        made.append(here)
        return here

    yield started
    for here in made:
        runner.run(here.__aexit__(None))
    for task in ticking:
        task.cancel()


async def tick(store: Store, queue: QueueKey) -> None:
    """What a controller does for a queue in a store."""
    while True:
        await store.tick(queue)
        await asyncio.sleep(0.1)


@pytest.fixture
def refusing(store: Store, store_url: str, queue: QueueKey, runner: asyncio.Runner) -> Iterator[ParallelTaskQueue]:
    """A started queue object without workers, for what never comes to run."""
    runner.run(store.put_policy(queue, quick_policy()))
    here = ParallelTaskQueue(url=store_url, queue=str(queue))
    runner.run(here.start())
    yield here
    runner.run(here.__aexit__(None))
