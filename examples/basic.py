"""Submit prompts, wait for the answers."""

import asyncio
import sys

from taskfleet import ParallelTaskQueue


async def main() -> None:
    async with ParallelTaskQueue(sys.argv[1:] or None) as queue:
        print("calling", *queue.instances)
        task_id = await queue.submit("Name three colours.", parameters={"max_tokens": 30})
        task = await queue.wait_for_task(task_id)
        print(task.status, task["result"]["response"], f"({task.duration:.2f} s)")

        batch = await queue.submit_batch([f"Say the number {number}." for number in range(5)])
        for task in await queue.wait_for_batch(batch):
            print(task.id, task.response)


asyncio.run(main())
