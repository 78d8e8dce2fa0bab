"""Urgent work overtakes: critical, high, normal, low. Low is not forgotten: every 20th task is of a lower one."""

import asyncio
import sys

from taskfleet import ParallelTaskQueue, Progress, TaskPriority


async def main() -> None:
    queue = ParallelTaskQueue(sys.argv[1:] or None, max_workers=1)

    @queue.on_progress
    def show(news: Progress) -> None:
        print("ended:", news.task)

    async with queue:
        # A batch comes in as a whole, so that no worker can begin with the first of it.
        await queue.submit_batch(
            {"id": f"{priority.name.lower()}-{number}", "prompt": f"Say {number}.", "priority": priority}
            for priority in (TaskPriority.LOW, TaskPriority.NORMAL, TaskPriority.HIGH, TaskPriority.CRITICAL)
            for number in (1, 2)
        )
        await queue.join()


asyncio.run(main())
