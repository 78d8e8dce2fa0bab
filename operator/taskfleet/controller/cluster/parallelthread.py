"""The ParallelQueues of a cluster, on a thread and an event loop of their own.

A template may take its second of CPU for each of many items: the loop that renews the Lease, and that scales, must not
wait for that. What goes to the API server goes over the home loop, where its client lives.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.controller.chronicler import Chronicler
from taskfleet.controller.parallelruns.attendants import Attendants
from taskfleet.kube import CONFIG_MAPS, KubeClient, KubeNotFound
from taskfleet.store import Store

STOP_SECONDS = 10.0
T = TypeVar("T")


class ParallelThread:
    """``set`` and ``forget`` at any time, ``start`` and ``stop`` once, all from the home loop. ``count`` counts what
    came of a try: ok or error."""

    def __init__(
        self,
        store_url: str,
        client: KubeClient,
        chronicler: Chronicler,
        count: Callable[[str], None],
        may_act: Callable[[], None],
    ) -> None:
        self._store_url = store_url
        self._store: Store | None = None
        self._connecting = asyncio.Lock()
        self._desk = _Desk(client, chronicler, may_act)
        self._attendants = Attendants(self._desk, self._use_store, count)
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="parallel queues", daemon=True)

    def set(self, queue: ParallelQueue) -> None:
        """Take in a ParallelQueue as it is now."""
        self._there(partial(self._attendants.set, queue))

    def forget(self, namespace: str, name: str) -> None:
        """The ParallelQueue is gone."""
        self._there(partial(self._attendants.forget, namespace, name))

    def start(self) -> None:
        self._desk.home = asyncio.get_running_loop()
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Leave each run so that it can be gone on with."""
        self._there(self._stopping.set)
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def _there(self, call: Callable[[], None]) -> None:
        if self._loop is None:
            call()
            return
        with contextlib.suppress(RuntimeError):  # it has just stopped
            self._loop.call_soon_threadsafe(call)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # type: ignore[arg-type,return-value]  # it is there
            runner.run(self._work())

    async def _work(self) -> None:
        working = asyncio.create_task(self._attendants.run())
        await self._stopping.wait()
        working.cancel()
        await asyncio.wait((working,))
        if self._store is not None:
            await self._store.close()

    async def _use_store(self) -> Store:
        """Of this thread, and for all of its time: it comes back by itself when it was away."""
        async with self._connecting:
            if self._store is None:
                self._store = await Store.connect(self._store_url)
            return self._store


class _Desk:
    """The Desk of a cluster, called from another thread than that of the client."""

    home: asyncio.AbstractEventLoop

    def __init__(self, client: KubeClient, chronicler: Chronicler, may_act: Callable[[], None]) -> None:
        self._client = client
        self._chronicler = chronicler
        self.may_act = may_act

    async def write_status(self, queue: ParallelQueue, status: dict[str, Any]) -> None:
        await self._at_home(self._chronicler.write_status("ParallelQueue", queue, status))

    def event(self, queue: ParallelQueue, reason: str, message: str, *, warning: bool) -> None:
        tell = partial(self._chronicler.event, "ParallelQueue", queue, reason, message, warning=warning)
        self.home.call_soon_threadsafe(tell)

    async def ensure_finalizer(self, queue: ParallelQueue) -> None:
        await self._at_home(self._chronicler.ensure_finalizer(queue))

    async def release(self, queue: ParallelQueue) -> None:
        await self._at_home(self._chronicler.release(queue))

    async def config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        try:
            found = await self._at_home(self._client.get(CONFIG_MAPS, namespace, name))
        except KubeNotFound:
            return None
        data: Mapping[str, str] = found.get("data", {})
        return data

    def forget(self, queue: ParallelQueue) -> None:
        self.home.call_soon_threadsafe(partial(self._chronicler.forget, queue))

    async def _at_home(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.home))
