"""Looking at tasks, and waiting for their ends."""

import asyncio
import contextlib
import math
from collections.abc import Iterable, Sequence

from taskfleet.core.errors import NotFound, StoreError, StoreUnreachable, WaitTimeout
from taskfleet.core.task import TaskView
from taskfleet.sdk import given
from taskfleet.sdk.live import Live
from taskfleet.sdk.results import TaskBatch, TaskResult

STORE_PAUSE = 0.2


async def ids_of(live: Live, batch: TaskBatch | Iterable[str] | str) -> list[str]:
    """Of what ``submit_batch`` returned, of its name, or the ids themselves. Raises InputError, NotFound."""
    if not isinstance(batch, str):
        return [given.task_id(task_id) for task_id in given.rows_of("batch", batch, "give what submit_batch returned")]
    given.text("batch", batch, "give what submit_batch returned")
    ids = [view.id async for view in live.backend.batch_tasks(batch)]
    if not ids:
        raise NotFound(f"batch {batch!r} is not in {live.backend.name}; give what submit_batch returned")
    return ids


async def ends_of(live: Live, ids: Sequence[str], patience: float | None) -> list[TaskResult]:
    """These tasks once all have ended, within ``patience`` seconds. A store that is away meanwhile is waited for as
    well. Raises WaitTimeout, NotFound, StoreUnreachable, NotRunning."""
    watch = live.watch
    loop = asyncio.get_running_loop()
    give_up_at = math.inf if patience is None else loop.time() + patience
    while True:
        try:
            views = await seen(live, ids)
            break
        except StoreUnreachable:
            if loop.time() >= give_up_at:
                raise
            await watch.unless_broken(asyncio.ensure_future(asyncio.sleep(STORE_PAUSE)))
    open_ids = [view.id for view in views if not view.state.is_final]
    try:
        async with asyncio.timeout_at(None if patience is None else max(give_up_at, loop.time())):
            ended = await watch.ends_of(open_ids)
    except TimeoutError:
        what = f"task {ids[0]}" if len(ids) == 1 else f"{len(open_ids)} of {len(ids)} tasks"
        trouble = watch.trouble or await _last_error(live, open_ids[0])
        why = f" ({trouble})" if trouble else ""
        raise WaitTimeout(
            f"{what} did not end within {patience:g} s{why}; wait again, give a longer timeout, or cancel"
        ) from None
    return [TaskResult(ended.get(view.id, view)) for view in views]


async def _last_error(live: Live, task_id: str) -> str:
    """Why a task did not end yet, as far as an attempt told; "" when none did or it cannot be seen now."""
    with contextlib.suppress(NotFound, StoreError):
        (view,) = await seen(live, [task_id])
        if view.error is not None:
            return f"so far: {view.error.message}"
    return ""


async def seen(live: Live, ids: Sequence[str]) -> list[TaskView]:
    """The tasks as they are now, in the order of their ids. Raises NotFound."""
    found = await live.backend.get(ids)
    for task_id, view in zip(ids, found, strict=True):
        if view is None:
            raise unknown(live, task_id)
    return [view for view in found if view is not None]


def unknown(live: Live, task_id: str) -> NotFound:
    """For a task that is not there."""
    return NotFound(
        f"task {task_id!r} is not in {live.backend.name}: it was submitted to another queue, or its retention has ended"
    )
