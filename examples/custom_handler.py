"""A Python function in place of a model server: the same priorities, retries, cancellation and progress."""

import asyncio

from taskfleet import HandlerTask, ParallelTaskQueue


async def count_words(task: HandlerTask) -> dict[str, object]:
    if task.attempt == 1 and "again" in task.prompt:
        raise ConnectionError("the first attempt fails, the next one works")
    words = task.prompt.split()
    for number, _word in enumerate(words, start=1):
        await asyncio.sleep(0.01)
        task.progress(number / len(words), f"{number} words")
    return {"words": len(words), "attempt": task.attempt}


async def main() -> None:
    quick = {"retry": {"initialDelay": "100ms"}}
    async with ParallelTaskQueue(handler=count_words, max_workers=4, policy=quick) as queue:
        batch = await queue.submit_batch(["one two three", "try this again", "just one"])
        for task in await queue.wait_for_batch(batch):
            print(task.status, task.response)


asyncio.run(main())
