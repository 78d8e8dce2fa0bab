"""Who drives which batch: any gateway may, one at a time, and after a kill another one goes on."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from taskfleet.core.errors import NotFound, StoreError, TaskfleetError
from taskfleet.core.task import QueueKey
from taskfleet.gateway.filestorage import FileStorage
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.runningbatch import RunningBatch

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
HOLD_SECONDS = 5.0


class BatchRunner:
    """``run`` it; ``look`` tells it that there is something new."""

    def __init__(self, parts: Parts, files: FileStorage) -> None:
        self._parts = parts
        self._jobs = parts.store.jobs
        self._files = files
        self._holder = secrets.token_hex(8)
        self._driving: dict[str, asyncio.Task[None]] = {}
        self._look = asyncio.Event()

    def look(self) -> None:
        self._look.set()

    async def run(self) -> None:
        """Drive what is open and nobody else drives, for ever."""
        try:
            while True:
                with contextlib.suppress(StoreError):  # whoever asks for a batch is told
                    await self._take_up()
                self._look.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._look.wait()
        finally:
            for driving in self._driving.values():
                driving.cancel()
            await asyncio.gather(*self._driving.values(), return_exceptions=True)

    async def _take_up(self) -> None:
        for queue, job in await self._jobs.opened():
            if job in self._driving or not await self._jobs.hold(queue, job, self._holder, HOLD_SECONDS):
                continue
            driving = self._driving[job] = asyncio.create_task(self._drive(queue, job))
            driving.add_done_callback(partial(self._driven, job))

    def _driven(self, job: str, _driving: "asyncio.Task[None]") -> None:
        self._driving.pop(job, None)

    async def _drive(self, queue: QueueKey, job: str) -> None:
        """One batch, as far as it goes now. What stands in the way is tried again at the next look."""
        try:
            async with self._held(queue, job):
                document = await self._jobs.get(queue, job)
                if document is None:
                    await self._jobs.forget(queue, job)
                    return
                await RunningBatch(self._parts, self._files, queue, document).advance()
        except NotFound:  # the queue is gone, and its batches with it
            await self._jobs.close(queue, job)
        except (TaskfleetError, OSError) as error:
            log.warning("a batch does not go on now", extra={"batch": job, "error": str(error)})
        except Exception:
            log.exception("a batch broke", extra={"batch": job})

    @asynccontextmanager
    async def _held(self, queue: QueueKey, job: str) -> AsyncIterator[None]:
        """Nobody else drives it inside; whoever could not say in time that it still does is interrupted."""
        driver = asyncio.current_task()

        async def keep() -> None:
            held_until = time.monotonic() + HOLD_SECONDS
            while time.monotonic() < held_until:
                await asyncio.sleep(HOLD_SECONDS / 4)
                with contextlib.suppress(StoreError):
                    if not await self._jobs.hold(queue, job, self._holder, HOLD_SECONDS):
                        break
                    held_until = time.monotonic() + HOLD_SECONDS
            if driver is not None:
                driver.cancel()

        keeping = asyncio.create_task(keep())
        try:
            yield
        finally:
            keeping.cancel()
