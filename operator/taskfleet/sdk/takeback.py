"""Whoever is cancelled while he submits leaves nothing that runs, although his tasks may be in the queue by then."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from taskfleet.core.cleanup import to_its_end
from taskfleet.core.errors import StoreError
from taskfleet.core.task import NewTask

log = logging.getLogger(__name__)

Cancel = Callable[[Sequence[str]], Awaitable[object]]


async def sent_or_taken_back(sending: Coroutine[Any, Any, int], tasks: Sequence[NewTask], cancel: Cancel) -> int:
    """What ``sending`` gives. When that is cancelled it ends all the same, and what was taken is cancelled: not what an
    idempotency key names, which may be another's."""
    ids = [task.id for task in tasks if not task.once]
    job = asyncio.create_task(sending)
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await to_its_end(_take_back(job, ids, cancel))
        raise


async def _take_back(job: "asyncio.Task[int]", ids: Sequence[str], cancel: Cancel) -> None:
    await asyncio.wait([job])
    if job.exception() is None:
        try:
            await cancel(ids)
        except StoreError as error:
            log.warning("a submission was cancelled, and its tasks cannot be", extra={"error": str(error)})
