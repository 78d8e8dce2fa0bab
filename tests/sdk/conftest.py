"""A queue object in each of its homes: in this process, against a store that has its queue already, and against a
gateway before one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from taskfleet import ParallelTaskQueue
from taskfleet.core.task import QueueKey
from taskfleet.gateway.service import GatewayOptions, gateway
from taskfleet.store import Store
from tests.support.workerprocess import quick_policy

QUICK: dict[str, Any] = {"retry": {"maxAttempts": 2, "initialDelay": "20ms", "maxDelay": "50ms"}, "taskTimeout": "20s"}

Make = Callable[..., Awaitable[ParallelTaskQueue]]


@pytest.fixture
def gateway_url(store_url: str, queue: QueueKey, tmp_path: Path, runner: asyncio.Runner) -> Iterator[str]:
    """Where a gateway serves, to this machine and without keys."""
    stack = AsyncExitStack()
    options = GatewayOptions(store_url, "127.0.0.1", 0, "--port", "test", queue, None, tmp_path / "files", 1)
    yield runner.run(stack.enter_async_context(gateway(options))).url
    runner.run(stack.aclose())


@pytest.fixture(params=["in process", "store", "gateway"])
def make(request: pytest.FixtureRequest, store: Store, queue: QueueKey, runner: asyncio.Runner) -> Iterator[Make]:
    """Makes a started queue object; each is stopped at the end if it still runs."""
    url = {"in process": None, "store": "store_url", "gateway": "gateway_url"}[request.param]
    url = url and request.getfixturevalue(url)
    made: list[ParallelTaskQueue] = []
    ticking: list[asyncio.Task[None]] = []

    async def started(*arguments: Any, policy: dict[str, Any] | None = None, **options: Any) -> ParallelTaskQueue:
        spec = {**QUICK, **(policy or {})}
        if url is not None:
            await store.put_policy(queue, quick_policy(**spec))
            ticking.append(asyncio.create_task(tick(store, queue)))
            here = ParallelTaskQueue(*arguments, url=url, queue=str(queue), **options)
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


@pytest.fixture(params=["store_url", "gateway_url"])
def url(request: pytest.FixtureRequest) -> str:
    """Where a queue may be that this process has not made."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def refusing(store: Store, url: str, queue: QueueKey, runner: asyncio.Runner) -> Iterator[ParallelTaskQueue]:
    """A started queue object without workers, for what never comes to run."""
    runner.run(store.put_policy(queue, quick_policy()))
    here = ParallelTaskQueue(url=url, queue=str(queue))
    runner.run(here.start())
    yield here
    runner.run(here.__aexit__(None))
