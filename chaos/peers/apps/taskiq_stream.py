"""taskiq with the stream broker of taskiq-redis."""

import asyncio
import os
import sys
import urllib.request

from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(os.environ["CHAOS_STORE"])


@broker.task
async def call(name: str) -> None:
    await asyncio.to_thread(urllib.request.urlopen, os.environ["CHAOS_CALLS"] + name)


async def enqueue(names: list[str]) -> None:
    await broker.startup()
    for name in names:
        await call.kiq(name)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(enqueue(sys.argv[1:]))
