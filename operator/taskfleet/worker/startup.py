"""Getting to work: a store that is away is waited for, and so are a queue that does not exist yet and a model server of
our own that does not answer yet."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from taskfleet.core.errors import NotFound, StoreOutOfMemory, StoreUnreachable
from taskfleet.core.task import QueueKey
from taskfleet.worker.policy import WorkPolicy, read_policy
from taskfleet.worker.storehealth import LONGEST_PAUSE, pause_after
from taskfleet.worker.workplace import Wakes, Workplace

log = logging.getLogger(__name__)

T = TypeVar("T")

# Asking the model server beside us: how long one answer may take, and the time between two.
PROBE_SECONDS = 5.0
PAUSE_SECONDS = 0.5


class Stopped(Exception):
    """We were told to stop before there was anything to drain."""


class Startup:
    """``reason`` says in words why there is no work yet."""

    def __init__(self, stop: asyncio.Event) -> None:
        self.reason = "starting"
        self._stop = stop

    async def connect(self, connect: Callable[[], Awaitable[Workplace]]) -> Workplace:
        """Raises Stopped, and the StoreErrors that waiting does not cure."""
        return await self._keep_trying(connect)

    async def policy(self, store: Workplace, queue: QueueKey, wakes: Wakes) -> WorkPolicy:
        """The queue's policy as soon as there is one. Raises as ``connect`` does."""
        while True:
            try:
                return await self._keep_trying(lambda: read_policy(store, queue))
            except NotFound as error:
                self._wait_for(str(error))
            # A policy wakes its listeners; the bound is for a stop that comes meanwhile and for a lost message.
            await self._unless_stopped(wakes.wait(LONGEST_PAUSE))

    async def server(self, url: str, path: str) -> None:
        """Return when the model server beside us answers. Raises Stopped."""
        from taskfleet.providers.probe import probe, probe_client  # httpx, which no other worker needs to load

        logging.getLogger("httpx").setLevel(logging.WARNING)  # it has a line for every request
        async with probe_client() as client:
            while trouble := await probe(client, url, path, PROBE_SECONDS):
                reason = f"its model server does not answer yet: {trouble}"
                if reason != self.reason:
                    self._wait_for(reason)
                await self._unless_stopped(asyncio.sleep(PAUSE_SECONDS))

    async def _keep_trying(self, attempt: Callable[[], Awaitable[T]]) -> T:
        failures = 0
        while True:
            try:
                return await attempt()
            except (StoreUnreachable, StoreOutOfMemory) as error:
                failures += 1
                self._wait_for(str(error))
            await self._unless_stopped(asyncio.sleep(pause_after(failures)))

    def _wait_for(self, reason: str) -> None:
        self.reason = reason
        log.warning("cannot work yet", extra={"reason": reason})

    async def _unless_stopped(self, waiting: Awaitable[object]) -> None:
        wait, stop = asyncio.ensure_future(waiting), asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((wait, stop), return_when=asyncio.FIRST_COMPLETED)
        for task in (wait, stop):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await wait
        if self._stop.is_set():
            raise Stopped
