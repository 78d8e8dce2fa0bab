"""CPU of one model call by client: the worker's, aiohttp and httpx; 16 at a time, to a stub without latency.

``python -m benchmarks.http_clients [--rounds 5] [--calls 1000]``; see docs/adr/0003-http-client.md.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
import httpx
import orjson
import uvloop

from benchmarks.rows import Findings, Row, medians, parser, rounds, tell
from benchmarks.worker_throughput import stub_process
from taskfleet.core.outcome import Ok
from taskfleet.providers import Call, open_provider

AT_ONCE = 16
MESSAGES = [{"role": "user", "content": "x" * 1000}]


async def cpu_milliseconds(call: Callable[[], Awaitable[bool]], count: int) -> float:
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            assert await call()

    began = time.process_time()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return 1000 * (time.process_time() - began) / count


async def with_our_provider(url: str, count: int) -> float:
    provider = open_provider("openai", url)

    async def call() -> bool:
        return isinstance(await provider.complete(Call("stub", MESSAGES, 30.0)), Ok)

    try:
        return await cpu_milliseconds(call, count)
    finally:
        await provider.close()


async def with_aiohttp(url: str, count: int) -> float:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> bool:
            body = orjson.dumps({"model": "stub", "messages": MESSAGES})
            headers = {"Content-Type": "application/json"}
            async with session.post(f"{url}/chat/completions", data=body, headers=headers) as answer:
                return "choices" in orjson.loads(await answer.read())

        return await cpu_milliseconds(call, count)


async def with_httpx(url: str, count: int) -> float:
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=AT_ONCE)) as client:

        async def call() -> bool:
            body = orjson.dumps({"model": "stub", "messages": MESSAGES})
            headers = {"Content-Type": "application/json"}
            answer = await client.post(f"{url}/chat/completions", content=body, headers=headers)
            return "choices" in orjson.loads(answer.content)

        return await cpu_milliseconds(call, count)


def one_round(url: str, count: int) -> dict[str, float]:
    clients = {"ours": with_our_provider, "aiohttp": with_aiohttp, "httpx": with_httpx}
    return {name: uvloop.run(client(url, count)) for name, client in clients.items()}


def main() -> int:
    own = parser(__doc__)
    own.add_argument("--calls", type=int, default=1000)
    options = own.parse_args()
    calls = 32 if options.quick else options.calls
    with stub_process(latency=0.0) as url:
        cpu = medians([one_round(url, calls) for _ in rounds(options)])
    return tell(Findings([Row("http.cpu_of_a_call", "ms", cpu.pop("ours"), "lower", {**cpu})]), options)


if __name__ == "__main__":
    sys.exit(main())
