"""A gateway in this process, in front of the real store, with real workers and the stub model server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from taskfleet.core.task import QueueKey
from taskfleet.gateway.service import GatewayOptions, gateway
from taskfleet.worker.service import Service
from taskfleet.worker.settings import WorkerSettings
from tests.support.commands import taskfleet as taskfleet  # a fixture
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import stub_endpoint

Opening = Callable[..., AbstractAsyncContextManager["Site"]]


class Site:
    """A queue, its gateway and clients of it."""

    def __init__(self, url: str, work: Work, http: httpx.AsyncClient, openai: AsyncOpenAI) -> None:
        self.url = url
        self.work = work
        self.http = http
        self.openai = openai

    @property
    def queue(self) -> QueueKey:
        return self.work.queue

    async def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return await self.http.post(path, json=body, **more)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.http.get(path, **more)


@pytest.fixture
def options(store_url: str, queue: QueueKey, tmp_path: Path) -> GatewayOptions:
    return GatewayOptions(store_url, "127.0.0.1", 0, "--port", "test", queue, None, tmp_path / "files")


@asynccontextmanager
async def opened(options: GatewayOptions, work: Work, key: str = "none") -> AsyncIterator[Site]:
    """A gateway and clients that show ``key``."""
    async with AsyncExitStack() as stack:
        url = (await stack.enter_async_context(gateway(replace(options, grace_seconds=1)))).url
        headers = {"Authorization": f"Bearer {key}"}
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=headers, timeout=20))
        client = await stack.enter_async_context(AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0))
        yield Site(url, work, http, client)


@pytest.fixture
def site(options: GatewayOptions, work: Work, runner: asyncio.Runner) -> Iterator[Site]:
    """A gateway without keys, and nobody who works for its queue."""
    stack = AsyncExitStack()

    async def start() -> Site:
        await work.open()
        return await stack.enter_async_context(opened(options, work))

    yield runner.run(start())
    runner.run(stack.aclose())


@asynccontextmanager
async def working(store_url: str, queue: QueueKey, url: str, concurrency: int = 4) -> AsyncIterator[None]:
    """A worker of the queue, on this loop."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    endpoint = stub_endpoint(url, concurrency)
    settings = WorkerSettings(store_url, queue, "pool", endpoint, "worker", port=None, grace_seconds=0, api_key=None)
    service = Service(settings, stop, hurry)
    running = asyncio.create_task(service.run())
    try:
        await eventually(lambda: not service.not_ready(), "the worker to work")
        yield
    finally:
        stop.set()
        hurry.set()
        await running


@pytest.fixture
def served(site: Site, model: ModelStub, store_url: str, runner: asyncio.Runner) -> Iterator[Site]:
    """The same with a worker."""
    stack = AsyncExitStack()
    runner.run(stack.enter_async_context(working(store_url, site.queue, model.url)))
    yield site
    runner.run(stack.aclose())


@pytest.fixture
def locked(options: GatewayOptions, work: Work, keys: Path, runner: asyncio.Runner) -> Iterator[Site]:
    """A gateway that asks for the ``keys`` of the tests' file; its clients show that of one."""
    stack = AsyncExitStack()

    async def start() -> Site:
        await work.open()
        return await stack.enter_async_context(opened(replace(options, keys=keys), work, "key-of-one"))

    yield runner.run(start())
    runner.run(stack.aclose())
