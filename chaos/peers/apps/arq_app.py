"""arq."""

import asyncio
import os
import sys
import urllib.request
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings


async def call(_context: Any, name: str) -> None:
    await asyncio.to_thread(urllib.request.urlopen, os.environ["CHAOS_CALLS"] + name)


class WorkerSettings:
    functions = (call,)
    redis_settings = RedisSettings.from_dsn(os.environ["CHAOS_STORE"])


async def enqueue(names: list[str]) -> None:
    pool = await create_pool(WorkerSettings.redis_settings)
    for name in names:
        await pool.enqueue_job("call", name)


if __name__ == "__main__":
    asyncio.run(enqueue(sys.argv[1:]))
