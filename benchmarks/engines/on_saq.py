"""saq at default settings, concurrency 10. It has no bulk call: 100 calls gathered."""

import asyncio

from adapter import IN_A_BULK, URL, become, began, main
from saq import Queue

queue = Queue.from_url(URL)


async def noop(_context: dict[str, object], *, payload: str) -> None:
    if seconds := began(payload):
        await asyncio.sleep(seconds)


settings = {"queue": queue, "functions": [noop]}


class Saq:
    async def open(self) -> None:
        await queue.connect()

    async def enqueue(self, payload: str) -> None:
        await queue.enqueue("noop", payload=payload)

    async def enqueue_many(self, payloads: list[str]) -> None:
        for first in range(0, len(payloads), IN_A_BULK):
            await asyncio.gather(*map(self.enqueue, payloads[first : first + IN_A_BULK]))

    def worker(self) -> None:
        become("saq", "on_saq.settings", "--quiet")


if __name__ == "__main__":
    main(Saq())
