"""taskiq with taskiq-redis at default settings; BENCH_VARIANT is ``list`` (no acknowledgement) or ``stream``."""

import asyncio
import os

from adapter import IN_A_BULK, URL, become, began, main
from taskiq_redis import ListQueueBroker, RedisStreamBroker

broker = {"list": ListQueueBroker, "stream": RedisStreamBroker}[os.environ["BENCH_VARIANT"]](URL)


@broker.task(task_name="noop")
async def noop(payload: str) -> None:
    if seconds := began(payload):
        await asyncio.sleep(seconds)


class Taskiq:
    async def open(self) -> None:
        await broker.startup()

    async def enqueue(self, payload: str) -> None:
        await noop.kiq(payload)

    async def enqueue_many(self, payloads: list[str]) -> None:
        for first in range(0, len(payloads), IN_A_BULK):
            await asyncio.gather(*(noop.kiq(payload) for payload in payloads[first : first + IN_A_BULK]))

    def worker(self) -> None:
        become("taskiq", "worker", "on_taskiq:broker", "--workers", "1")


if __name__ == "__main__":
    main(Taskiq())
