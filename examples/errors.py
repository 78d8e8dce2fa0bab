"""What fails, why, and what is refused before anything is called."""

import asyncio
import sys

from taskfleet import ParallelTaskQueue, TaskfleetError


async def main() -> None:
    async with ParallelTaskQueue(sys.argv[1:] or None) as queue:
        for prompt, model in (("", None), ("Hello", "a-model-that-nobody-has")):
            try:
                await queue.submit(prompt, model=model)
            except TaskfleetError as error:
                print("refused:", error)

        # A task that fails has a status; nothing is raised. The server refuses these messages.
        task_id = await queue.submit("Hello", parameters={"temperature": "very hot"})
        task = await queue.wait_for_task(task_id)
        print(task.status, "-", task.error or task.response)

        for failure in await queue.errors():
            print(f"{failure.time:%H:%M:%S} {failure.task} on {failure.worker}: {failure.error}")


asyncio.run(main())
