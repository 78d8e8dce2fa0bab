"""The floor, no engine to use: a bare batching loop on valkey-py with leases of 10 s and stored results.

No fences, retries, delays, priorities, limits, cancel or statistics: what any engine on this client and server pays.
"""

import asyncio
import secrets
from typing import Any

import uvloop
import valkey.asyncio as valkey
from adapter import URL, began, main

BATCH = 100
ID_BYTES = 16
ENQUEUE = """
redis.call('RPUSH', 'queue', unpack(ARGV))
if redis.call('LLEN', 'bell') == 0 then redis.call('RPUSH', 'bell', '') end
"""
CLAIM = """
local now = tonumber(redis.call('TIME')[1])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'leases', '-inf', now, 'LIMIT', 0, ARGV[1])) do
    redis.call('RPUSH', 'queue', redis.call('HGET', 'running', id))
    redis.call('ZREM', 'leases', id)
end
local items = redis.call('LPOP', 'queue', ARGV[1]) or {}
for _, item in ipairs(items) do
    local id = string.sub(item, 1, 16)
    redis.call('ZADD', 'leases', now + 10, id)
    redis.call('HSET', 'running', id, item)
end
return items
"""
FINISH = """
for _, id in ipairs(ARGV) do
    redis.call('ZREM', 'leases', id)
    redis.call('HDEL', 'running', id)
    redis.call('SET', 'result:' .. id, 'done', 'EX', 600)
end
"""


class Floor:
    async def open(self) -> None:
        self._client = valkey.from_url(URL)
        self._enqueue, self._claim, self._finish = map(self._client.register_script, (ENQUEUE, CLAIM, FINISH))

    async def enqueue(self, payload: str) -> None:
        await self._enqueue(args=[secrets.token_hex(ID_BYTES // 2) + payload])

    async def enqueue_many(self, payloads: list[str]) -> None:
        for first in range(0, len(payloads), 1000):
            items = [secrets.token_hex(ID_BYTES // 2) + payload for payload in payloads[first : first + 1000]]
            await self._enqueue(args=items)

    def worker(self) -> None:
        uvloop.run(self._work())

    async def _work(self) -> None:
        await self.open()
        while True:
            items: list[bytes] = await self._claim(args=[BATCH])
            for item in items:
                await noop(item[ID_BYTES:].decode())
            if items:
                await self._finish(args=[item[:ID_BYTES] for item in items])
            else:
                await self._client.blpop(["bell"], timeout=1)


async def noop(payload: str) -> Any:
    if seconds := began(payload):
        await asyncio.sleep(seconds)


if __name__ == "__main__":
    main(Floor())
