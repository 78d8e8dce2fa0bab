"""The ParallelQueues of a cluster, on a thread and an event loop of their own.

A template may take its second of CPU for each of many items: the loop that renews the Lease, and that scales, must not
wait for that. What goes to the API server goes over the home loop, where its client lives.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.controller.chronicler import Chronicler
from taskfleet.kube import CONFIG_MAPS, KubeClient, KubeNotFound
from taskfleet.store import Store

if TYPE_CHECKING:
    from taskfleet.controller.parallelruns.attendants import Attendants

    Told = Callable[[Attendants], None]

STOP_SECONDS = 10.0
T = TypeVar("T")


class ParallelThread:
    """``set`` and ``forget`` at any time, ``start`` and ``stop`` once, all from the home loop. The thread begins with
    the first ParallelQueue: what it imports costs half a second that others need not pay. ``count`` counts what came of
    a try: ok or error."""

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
        self._count = count
        self._told: SimpleQueue[Told | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._something = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="parallel queues", daemon=True)

    def set(self, queue: ParallelQueue) -> None:
        """Take in a ParallelQueue as it is now."""
        self._tell(lambda attendants: attendants.set(queue))
        self._begin()

    def forget(self, namespace: str, name: str) -> None:
        """The ParallelQueue is gone."""
        self._tell(lambda attendants: attendants.forget(namespace, name))

    def start(self) -> None:
        self._desk.home = asyncio.get_running_loop()
        if not self._told.empty():
            self._begin()

    async def stop(self) -> None:
        """Leave each run so that it can be gone on with."""
        self._tell(None)
        if self._loop is not None:
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def _begin(self) -> None:
        if self._desk.home is not None and self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread.start()

    def _tell(self, call: "Told | None") -> None:
        """``call`` is made over there; None: it is time to stop."""
        self._told.put(call)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has stopped
                self._loop.call_soon_threadsafe(self._something.set)

    def _serve(self) -> None:
        loop = self._loop
        assert loop is not None
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._work())

    async def _work(self) -> None:
        from taskfleet.controller.parallelruns.attendants import Attendants

        attendants = Attendants(self._desk, self._use_store, self._count)
        goes_on = self._hear(attendants)  # all that is known at the beginning, before the first is begun
        working = asyncio.create_task(attendants.run())
        while goes_on:
            await self._something.wait()
            self._something.clear()
            goes_on = self._hear(attendants)
        working.cancel()
        await asyncio.wait((working,))
        if self._store is not None:
            await self._store.close()

    def _hear(self, attendants: "Attendants") -> bool:
        """Make the calls that there are; whether it goes on after them."""
        while not self._told.empty():
            call = self._told.get_nowait()
            if call is None:
                return False
            call(attendants)
        return True

    async def _use_store(self) -> Store:
        """Of this thread, and for all of its time: it comes back by itself when it was away."""
        async with self._connecting:
            if self._store is None:
                self._store = await Store.connect(self._store_url)
            return self._store


class _Desk:
    """The Desk of a cluster, called from another thread than that of the client."""

    home: asyncio.AbstractEventLoop | None = None

    def __init__(self, client: KubeClient, chronicler: Chronicler, may_act: Callable[[], None]) -> None:
        self._client = client
        self._chronicler = chronicler
        self.may_act = may_act

    async def write_status(self, queue: ParallelQueue, status: dict[str, Any]) -> None:
        await self._at_home(self._chronicler.write_status("ParallelQueue", queue, status))

    def event(self, queue: ParallelQueue, reason: str, message: str, *, warning: bool) -> None:
        tell = partial(self._chronicler.event, "ParallelQueue", queue, reason, message, warning=warning)
        self._soon(tell)

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
        self._soon(partial(self._chronicler.forget, queue))

    def _soon(self, call: Callable[[], None]) -> None:
        assert self.home is not None
        self.home.call_soon_threadsafe(call)

    async def _at_home(self, work: Coroutine[Any, Any, T]) -> T:
        assert self.home is not None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.home))
