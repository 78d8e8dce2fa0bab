"""How far tasks of ours are that workers elsewhere run: for who hears in ``on_progress``."""

import asyncio

from taskfleet.core.events import Progress
from taskfleet.sdk.live import Live

BREATH_SECONDS = 0.1  # between two looks: of what is told faster, the newest is enough


async def tell_progress(live: Live) -> None:
    """Tell what is new of tasks of ours, for ever."""
    news = live.news
    known: dict[str, Progress] = {}
    async for found in live.backend.all_progress():
        for task_id, told in found.items():
            if known.get(task_id) != told and task_id not in news.reported_here and live.watch.follows(task_id):
                news.progressed(task_id, told)
        known = dict(found)
        await asyncio.sleep(BREATH_SECONDS)
