"""arq at default settings. It has no bulk call: 100 calls gathered."""

import asyncio

from adapter import IN_A_BULK, URL, become, began, main
from arq import create_pool
from arq.connections import RedisSettings


async def noop(_context: dict[str, object], payload: str) -> None:
    if seconds := began(payload):
        await asyncio.sleep(seconds)


class WorkerSettings:
    functions = (noop,)
    redis_settings = RedisSettings.from_dsn(URL)


class Arq:
    async def open(self) -> None:
        self._pool = await create_pool(WorkerSettings.redis_settings)

    async def enqueue(self, payload: str) -> None:
        await self._pool.enqueue_job("noop", payload)

    async def enqueue_many(self, payloads: list[str]) -> None:
        for first in range(0, len(payloads), IN_A_BULK):
            await asyncio.gather(*map(self.enqueue, payloads[first : first + IN_A_BULK]))

    def worker(self) -> None:
        become("arq", "on_arq.WorkerSettings")


if __name__ == "__main__":
    main(Arq())
