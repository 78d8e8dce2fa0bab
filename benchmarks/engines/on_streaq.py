"""streaq at default settings, concurrency 16."""

import asyncio

from adapter import URL, become, began, main
from streaq import Worker

worker = Worker(redis_url=URL)


@worker.task
async def noop(payload: str) -> None:
    if seconds := began(payload):
        await asyncio.sleep(seconds)


class Streaq:
    async def open(self) -> None:
        await worker.__aenter__()

    async def enqueue(self, payload: str) -> None:
        await noop.enqueue(payload)

    async def enqueue_many(self, payloads: list[str]) -> None:
        for first in range(0, len(payloads), 1000):
            await worker.enqueue_many([noop.enqueue(payload) for payload in payloads[first : first + 1000]])

    def worker(self) -> None:
        become("streaq", "run", "on_streaq:worker")


if __name__ == "__main__":
    main(Streaq())
