"""Cancel one task, and all. A running one's call to the model server is closed."""

import asyncio
import sys

from taskfleet import ParallelTaskQueue


async def main() -> None:
    async with ParallelTaskQueue(sys.argv[1:] or None, max_workers=2) as queue:
        batch = await queue.submit_batch([f"Write a long story about the number {number}." for number in range(50)])
        print("cancelled the last one:", await queue.cancel(batch[-1]))
        print("cancelled the others:", await queue.cancel_all())
        await queue.join(timeout=60)
        results = await queue.wait_for_batch(batch)
        print(sum(task.status == "cancelled" for task in results), "of", len(results), "were cancelled")


asyncio.run(main())
