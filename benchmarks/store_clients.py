"""Which client library serves our scripts best: valkey-py + libvalkey, valkey-glide, redis-py + hiredis.

``python -m benchmarks.store_clients [--rounds 5] [--tasks 4000]``. The scripts, their arguments and the server are
those of the store; only the library that carries them differs. All three run in turn in one process on uvloop, and the
median of the rounds is shown: compare the rows of one run, the machine is what it is. The peers are no dependencies of
Taskfleet: ``pip install valkey-glide 'redis[hiredis]'`` in an environment of your own.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import uvloop

from benchmarks.rows import Findings, Row, parser, rounds, tell
from benchmarks.store_work import POLICY
from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import NewTask, QueueKey, new_task_id
from taskfleet.store import codec, endings, incoming, keys, lua
from tests.support.valkeyserver import running_valkey

QUEUE = QueueKey("bench", "clients")
BODY = b'{"messages":[{"role":"user","content":"' + b"x" * 960 + b'"}],"parameters":{},"metadata":{}}'

Call = Callable[..., Awaitable[Any]]
Open = Callable[[int], Awaitable[tuple[Call, Callable[[], Awaitable[Any]]]]]


async def open_valkey_py(port: int) -> tuple[Call, Callable[[], Awaitable[Any]]]:
    import valkey.asyncio as library

    pool = library.BlockingConnectionPool(host="127.0.0.1", port=port, max_connections=64, socket_timeout=None)
    client = library.Valkey(connection_pool=pool)
    return client.execute_command, pool.disconnect


async def open_redis_py(port: int) -> tuple[Call, Callable[[], Awaitable[Any]]]:
    import redis.asyncio as library

    pool = library.BlockingConnectionPool(host="127.0.0.1", port=port, max_connections=64, socket_timeout=None)
    client = library.Redis(connection_pool=pool)
    return client.execute_command, pool.disconnect


async def open_glide(port: int) -> tuple[Call, Callable[[], Awaitable[Any]]]:
    import glide

    place = glide.NodeAddress("127.0.0.1", port)
    client = await glide.GlideClient.create(glide.GlideClientConfiguration([place], request_timeout=10_000))

    async def call(*command: Any) -> Any:
        return await client.custom_command([part if isinstance(part, bytes) else str(part) for part in command])

    return call, client.close


OURS = "valkey-py + libvalkey"
CLIENTS: dict[str, tuple[tuple[str, ...], Open]] = {
    OURS: (("valkey", "libvalkey"), open_valkey_py),
    "valkey-glide": (("valkey-glide",), open_glide),
    "redis-py + hiredis": (("redis", "hiredis"), open_redis_py),
}


class Work:
    """The store's calls over one library, without the store's own timeouts and errors."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def run(self, script: lua.Script, *arguments: Any) -> Any:
        return await self._call("EVALSHA", script.sha, 1, keys.prefix(QUEUE), *arguments)

    async def prepare(self) -> None:
        await self._call("FLUSHALL")
        for script in (lua.PUT_POLICY, lua.SUBMIT, lua.CLAIM, lua.SETTLE):
            await self._call("SCRIPT", "LOAD", script.text)
        await self.run(lua.PUT_POLICY, *codec.pack_policy(POLICY))

    async def submit(self, count: int) -> None:
        new = incoming.NewTasks(b"")
        for _ in range(count):
            new.add(NewTask(new_task_id(), "small", BODY))
        await self.run(lua.SUBMIT, *new.arguments())

    async def claim_and_settle(self, count: int) -> int:
        _, _, now, _, *found = await self.run(lua.CLAIM, "worker", count, "small")
        leased = [codec.leased(*pair, now / 1000) for pair in zip(found[::2], found[1::2], strict=True)]
        ends = [Settlement(task.id, task.fence, Verdict.COMPLETE, output="done") for task in leased]
        if ends:
            await self.run(lua.SETTLE, endings.pack_settlements(ends))
        return len(ends)


async def timed(operations: int, work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """Operations a second, and this process's CPU in us for each."""
    began, cpu = time.perf_counter(), time.process_time()
    await work()
    took, used = time.perf_counter() - began, time.process_time() - cpu
    return operations / took, used / operations * 1e6


async def measure(open_client: Open, port: int, count: int) -> dict[str, tuple[float, float]]:
    call, close = await open_client(port)
    work = Work(call)
    await work.prepare()
    rows: dict[str, tuple[float, float]] = {}

    async def one_by_one() -> None:
        for _ in range(count // 4):
            await work.submit(1)

    async def bulk() -> None:
        for _ in range(count // 1000):
            await work.submit(1000)

    async def drain() -> None:
        while await work.claim_and_settle(100):
            pass

    async def cycles(callers: int) -> None:
        async def caller() -> None:
            for _ in range(count // 4 // callers):
                await work.claim_and_settle(1)

        await asyncio.gather(*(caller() for _ in range(callers)))

    rows["submit_one_by_one"] = await timed(count // 4, one_by_one)
    rows["submit_by_1000"] = await timed(count // 1000 * 1000, bulk)
    rows["claim_and_settle_1_caller"] = await timed(count // 4, lambda: cycles(1))
    rows["claim_and_settle_50_callers"] = await timed(count // 4 // 50 * 50, lambda: cycles(50))
    left = count // 4 + count // 1000 * 1000 - count // 4 - count // 4 // 50 * 50
    rows["claim_and_settle_by_100"] = await timed(left, drain)
    await close()
    return rows


def is_installed(packages: tuple[str, ...]) -> bool:
    try:
        return all(version(package) for package in packages)
    except PackageNotFoundError:
        return False


async def compare(options: argparse.Namespace, count: int) -> list[Row]:
    """The rate of each kind of work, and the CPU that a task costs this process in it."""
    present = [name for name, (packages, _) in CLIENTS.items() if is_installed(packages)]
    results: dict[str, list[dict[str, tuple[float, float]]]] = {name: [] for name in present}
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as server:
        for _ in rounds(options):
            for name in present:
                results[name].append(await measure(CLIENTS[name][1], server.port, count))

    def row(work: str, kind: str, unit: str, better: Literal["higher", "lower"], part: int) -> Row:
        found = {name: statistics.median(each[work][part] for each in results[name]) for name in present}
        peers = {name: found.get(name) for name in CLIENTS if name != OURS}
        return Row(f"store_clients.{work}.{kind}", unit, found[OURS], better, peers)

    works = list(results[OURS][0])
    rates = [row(work, "rate", "tasks/s", "higher", 0) for work in works]
    return rates + [row(work, "cpu", "us", "lower", 1) for work in works]


def main() -> int:
    own = parser(__doc__)
    own.add_argument("--tasks", type=int, default=4000, help="tasks in a round, at least 1000 (default 4000)")
    options = own.parse_args()
    return tell(Findings(uvloop.run(compare(options, max(1000, options.tasks)))), options)


if __name__ == "__main__":
    sys.exit(main())
