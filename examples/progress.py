"""Hear of each task as it ends, and look at the numbers."""

import asyncio
import sys

from taskfleet import ParallelTaskQueue, Progress


async def main() -> None:
    queue = ParallelTaskQueue(sys.argv[1:] or None)

    @queue.on_progress
    def show(news: Progress) -> None:
        print(f"{news.completed + news.failed} of {news.submitted} ended, {news.failed} failed")

    async with queue:
        await queue.submit_batch([f"Write a word that rhymes with {word}." for word in ("cat", "sun", "tree", "ball")])
        await queue.join()
        stats = await queue.get_stats()
        print(f"{stats.completed} completed, {stats.avg_time:.2f} s each, {stats.throughput:.1f} a second")
        print(f"{stats.tokens['total']} tokens; by model: {', '.join(stats.models)}")


asyncio.run(main())
