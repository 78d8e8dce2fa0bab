"""How far tasks of ours are that workers elsewhere run: for who hears in ``on_progress``."""

import asyncio
from collections.abc import Container

from taskfleet.core.events import Progress
from taskfleet.core.task import TaskState
from taskfleet.sdk.live import Live

BREATH_SECONDS = 0.1  # between two looks: of what is told faster, the newest is enough


async def tell_progress(live: Live, heard_here: Container[str]) -> None:
    """Tell what is new of tasks of ours, for ever; ``heard_here``: those that a handler in this process tells of."""
    known: dict[str, Progress] = {}
    async for found in live.backend.all_progress():
        for task_id, told in found.items():
            if known.get(task_id) != told and task_id not in heard_here and live.watch.follows(task_id):
                live.news.tell(task_id, TaskState.RUNNING, told.fraction or 0.0, told.message)
        known = dict(found)
        await asyncio.sleep(BREATH_SECONDS)
