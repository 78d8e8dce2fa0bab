"""Several servers, many calls at once; the work goes where there is room, by the strategy."""

import asyncio
import sys
import time

from taskfleet import ParallelTaskQueue


async def main() -> None:
    async with ParallelTaskQueue(sys.argv[1:] or None, max_workers=50, strategy="least_loaded") as queue:
        began = time.perf_counter()
        batch = await queue.submit_batch([f"Is {number} prime? Answer yes or no." for number in range(200)])
        results = await queue.wait_for_batch(batch, timeout=600)
        seconds = time.perf_counter() - began
        print(f"{len(results)} tasks in {seconds:.1f} s, {len(results) / seconds:.1f} a second")
        for endpoint, numbers in (await queue.get_stats()).endpoints.items():
            print(f"{endpoint}: {numbers['completed']} tasks, {numbers['avg_time']:.3f} s each")


asyncio.run(main())
