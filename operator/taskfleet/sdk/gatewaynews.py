"""Hears what is new in a queue behind a gateway: one connection, which comes back when it was lost."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from taskfleet.core.errors import NotFound, StoreAuthFailed, StoreError, StoreUnreachable, TaskfleetError
from taskfleet.core.events import Progress
from taskfleet.core.task import QueueKey
from taskfleet.sdk.gatewayhttp import GatewayHttp
from taskfleet.store.watch import Watch

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class GatewayNews:
    """``run`` it for what ``all_progress`` gives, and to tell a watch of ends."""

    def __init__(self, http: GatewayHttp) -> None:
        self._http = http
        self._progress: dict[str, Progress] = {}
        self._changed = asyncio.Event()

    async def run(self, watch: Watch) -> None:
        """Hear for ever. A queue that is gone, or a key that is no longer taken, breaks the watch."""
        try:
            async for kind, data in _heard(self._http, "ended,progress"):
                self._take(kind, data, watch)
        except (NotFound, StoreAuthFailed) as error:
            watch.broke(error)

    def _take(self, kind: str, data: Any, watch: Watch) -> None:
        if kind == "ready":
            self._progress.clear()
            watch.nudge_all()  # what ended meanwhile is not told any more
        elif kind == "ended":
            for task_id in data["ids"]:
                self._progress.pop(task_id, None)
            watch.nudge(data["ids"])
        else:
            self._progress |= {name: Progress(**told) for name, told in data["tasks"].items()}
            self._changed.set()

    async def all_progress(self) -> AsyncIterator[Mapping[str, Progress]]:
        """How far tasks are, whenever one says more; for ever, for one listener."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield dict(self._progress)


class GatewayWakes:
    """Hears that there may be something to claim; ``async with`` it."""

    def __init__(self, http: GatewayHttp, queue: QueueKey) -> None:
        self._http = http
        self._queue = queue
        self._woken = asyncio.Event()
        self._hearing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "GatewayWakes":
        self._hearing = asyncio.create_task(self._hear(), name="wakes of a queue")
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._hearing is not None
        self._hearing.cancel()
        await asyncio.wait([self._hearing])

    async def wait(self, timeout: float | None) -> Collection[QueueKey]:  # noqa: ASYNC109  that nothing is new is no error
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return ()
        self._woken.clear()
        return (self._queue,)

    async def _hear(self) -> None:
        try:
            async for _ in _heard(self._http, "wake"):
                self._woken.set()
        except TaskfleetError as error:  # whoever waits also claims, and is told there
            log.warning("does not hear of new tasks any more", extra={"error": str(error)})


async def _heard(http: GatewayHttp, kinds: str) -> AsyncIterator[tuple[str, Any]]:
    """What is told of a queue, ``ready`` first and after each break. Raises NotFound, StoreAuthFailed."""
    pause = FIRST_PAUSE
    while True:
        try:
            async for kind, _, data in http.events(f"{http.queue}/events", kinds=kinds):
                pause = FIRST_PAUSE
                yield kind, data
        except (StoreAuthFailed, NotFound):
            raise
        except StoreUnreachable:
            pass  # whoever waits also looks, and is told there
        except StoreError as error:
            log.warning("the gateway does not tell what is new now", extra={"error": str(error)})
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
