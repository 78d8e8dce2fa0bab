"""A queue in this process: an embedded store in a folder, and workers beside it."""

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taskfleet.api.endpoint import Endpoint
from taskfleet.controller.policy import queue_policy
from taskfleet.core.errors import StoreError
from taskfleet.core.task import QueueKey
from taskfleet.embedded.datadir import DataDir, locked
from taskfleet.embedded.server import EmbeddedStore
from taskfleet.sdk.instances import spec_for
from taskfleet.store import Store

TICK_SECONDS = 0.5

log = logging.getLogger(__name__)


class EmbeddedQueue:
    """Opens the store of a queue under the rules ``spec``; ``async with`` it, then ``store`` and ``url`` are there.

    Without ``data`` everything is in a temporary folder that goes with the queue.
    """

    def __init__(
        self, queue: QueueKey, endpoints: list[Endpoint], policy: Mapping[str, Any], data: Path | None
    ) -> None:
        self._queue = queue
        self.spec = spec_for(endpoints, policy)
        self._data = data
        self._stack = contextlib.AsyncExitStack()
        self.store: Store
        self.url = ""

    async def __aenter__(self) -> "EmbeddedQueue":
        async with self._stack:
            folder = self._data
            if folder is None:
                folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="taskfleet-")))
            data = await self._locked(folder)
            server = EmbeddedStore(data, tell=log.warning, durable=self._data is not None)
            self._stack.push_async_callback(server.stop)
            await server.start()
            keeping = asyncio.create_task(server.keep_alive())
            self._stack.push_async_callback(_ended, keeping)
            self.url = server.url
            self.store = await Store.connect(server.url)
            self._stack.push_async_callback(self.store.close)
            await self.publish({})
            ticking = asyncio.create_task(self._tick())
            self._stack.push_async_callback(_ended, ticking)
            # So that `taskfleet stats --data DIR` and the like find it.
            data.announce(store_url=server.url, status_url="", namespace=self._queue.namespace, queues=[self._queue])
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._stack.aclose()

    async def publish(self, fallbacks: Mapping[str, str]) -> None:
        """Have the queue's rules hold, and these models serve in place of those. Raises StoreError."""
        await self.store.put_policy(self._queue, queue_policy(self.spec, fallbacks=fallbacks))

    async def _tick(self) -> None:
        """Let time pass in the queue, as the controller does elsewhere: deadlines, retention, leases that ended."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            with contextlib.suppress(StoreError):  # the workers meet it too, and tell
                await self.store.tick(self._queue)

    async def _locked(self, folder: Path) -> DataDir:
        """The folder, locked; another owner is waited for in a thread, as that blocks."""
        lock = locked(folder)
        taking = asyncio.ensure_future(asyncio.to_thread(lock.__enter__))
        try:
            data = await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.wait([taking])  # a thread cannot be stopped
            if taking.exception() is None:
                lock.__exit__(None, None, None)
            raise
        self._stack.callback(lock.__exit__, None, None, None)
        return data


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
