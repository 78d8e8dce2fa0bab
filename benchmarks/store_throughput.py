"""What the store itself can do, on a real server on this machine.

``python -m benchmarks.store_throughput [--rounds 5] [--tasks 5000] [--pick-ups 200] [--growth 1000,100000]``. Rows:
submitting one by one and in bulk; draining by claims and settlements of 100, one and four of them at once in one
process; the time from a submission to its claim by a sleeping worker (p50, p99); memory of a waiting task of 1 KiB; and
the cost of each operation with many tasks waiting, whose peer is the same operation with few. Server and client share
the machine: compare rows within one run.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import uvloop

from benchmarks.rows import Row, medians, parser, tell
from taskfleet.core.settlement import QueuePolicy, Settlement, Verdict
from taskfleet.core.task import NewTask, QueueKey, new_task_id
from taskfleet.store import Store
from tests.support.valkeyserver import running_valkey

T = TypeVar("T")

QUEUE = QueueKey("bench", "store")
MODEL = "small"
BODY = b'{"messages":[{"role":"user","content":"' + b"x" * 951 + b'"}],"parameters":{},"metadata":{}}'
BATCH = 100
POLICY = QueuePolicy(
    spec={},
    max_pending=10_000_000,
    max_task_bytes=1 << 20,
    lease_seconds=60,
    ttl_seconds=86_400,
    max_attempts=5,
    keep_results_seconds=600,
    keep_failed_seconds=600,
)


def tasks(count: int) -> Iterator[NewTask]:
    return (NewTask(new_task_id(), MODEL, BODY) for _ in range(count))


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def fresh(store: Store) -> None:
    await store.drop_queue(QUEUE)
    await store.put_policy(QUEUE, POLICY)


async def drain(store: Store, worker: str) -> None:
    while found := (await store.claim(QUEUE, worker, [MODEL], BATCH)).tasks:
        await store.settle(QUEUE, [Settlement(task.id, task.fence, Verdict.COMPLETE, output="done") for task in found])


async def throughput(store: Store, count: int) -> dict[str, float]:
    """Tasks a second."""
    await fresh(store)

    async def one_by_one() -> None:
        for task in tasks(count // 10):
            await store.submit(QUEUE, [task])

    async def four() -> None:
        await asyncio.gather(*(drain(store, f"w{number}") for number in range(4)))

    found = {"submit_one_by_one": count // 10 / await seconds(one_by_one)}
    await fresh(store)
    found["submit_in_bulk"] = count / await seconds(lambda: store.submit(QUEUE, tasks(count)))
    found["drain_by_100"] = count / await seconds(lambda: drain(store, "w"))
    await store.submit(QUEUE, tasks(count))
    found["drain_by_100_four_at_once"] = count / await seconds(four)
    return found


async def pick_up(store: Store, count: int) -> list[Row]:
    """A worker sleeps in ``wait``; another connection submits one task."""
    await fresh(store)
    took: list[float] = []
    claimed = asyncio.Event()
    submitted_at = 0.0

    async def worker() -> None:
        async with store.listen([QUEUE]) as listener:
            while len(took) < count:
                found = (await store.claim(QUEUE, "w", [MODEL], 1)).tasks
                if not found:
                    await listener.wait(None)
                    continue
                took.append(time.perf_counter() - submitted_at)
                await store.settle(QUEUE, [Settlement(found[0].id, found[0].fence, Verdict.COMPLETE, output="done")])
                await store.claim(QUEUE, "w", [MODEL], 1)
                claimed.set()

    running = asyncio.create_task(worker())
    await asyncio.sleep(0.1)
    for task in tasks(count):
        claimed.clear()
        submitted_at = time.perf_counter()
        await store.submit(QUEUE, [task])
        await claimed.wait()
    await running
    hundredths = statistics.quantiles(took, n=100)
    return [
        Row("store.pick_up_p50", "ms", hundredths[49] * 1000, "lower"),
        Row("store.pick_up_p99", "ms", hundredths[98] * 1000, "lower"),
    ]


async def memory(store: Store, count: int) -> Row:
    """Bytes of a waiting task whose body has 1 KiB."""

    async def used() -> int:
        found = await store._connection.call("INFO", "memory")  # noqa: SLF001 - no one else asks
        return int(found["used_memory"]) - int(found["mem_clients_normal"])  # not the buffers of this very connection

    await fresh(store)
    before = await used()
    await store.submit(QUEUE, tasks(count))
    return Row("store.memory_of_a_waiting_task", "bytes", (await used() - before) / count, "lower")


async def costs(store: Store, size: int) -> dict[str, float]:
    """Median milliseconds of each operation with ``size`` tasks waiting."""
    await fresh(store)
    await store.submit(QUEUE, tasks(size))
    took: defaultdict[str, list[float]] = defaultdict(list)

    async def timed(name: str, call: Awaitable[T]) -> T:
        began = time.perf_counter()
        answer = await call
        took[name].append(1000 * (time.perf_counter() - began))
        return answer

    for task in tasks(200):
        await timed("submit", store.submit(QUEUE, [task]))
        (leased,) = (await timed("claim", store.claim(QUEUE, "w", [MODEL], 1))).tasks
        ends = [Settlement(leased.id, leased.fence, Verdict.COMPLETE, output="done")]
        await timed("settle", store.settle(QUEUE, ends))
        await timed("stats", store.stats(QUEUE))
        await timed("cancel", store.cancel(QUEUE, [task.id]))
    return {name: statistics.median(values) for name, values in took.items()}


async def growth(store: Store, few: int, many: int) -> list[Row]:
    with_few, with_many = await costs(store, few), await costs(store, many)
    return [
        Row(f"store.{name}_with_{many}_waiting", "ms", cost, "lower", {f"with {few} waiting": with_few[name]})
        for name, cost in with_many.items()
    ]


async def run(options: argparse.Namespace) -> list[Row]:
    few, many = (int(size) for size in options.growth.split(","))
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as server:
        store = await Store.connect(f"valkey://127.0.0.1:{server.port}", timeout=30)
        rates = medians([await throughput(store, options.tasks) for _ in range(options.rounds)])
        rows = [
            *(Row(f"store.{name}", "tasks/s", rate, "higher") for name, rate in rates.items()),
            *await pick_up(store, options.pick_ups),
            await memory(store, options.tasks),
            *await growth(store, few, many),
        ]
        await store.close()
    return rows


def main() -> None:
    own = parser(__doc__)
    own.add_argument("--tasks", type=int, default=5000, help="tasks for throughput and memory (default 5000)")
    own.add_argument("--pick-ups", type=int, default=200, help="samples of the pick-up time (default 200)")
    own.add_argument("--growth", default="1000,100000", help="two sizes of the queue (default 1000,100000)")
    options = own.parse_args()
    tell(uvloop.run(run(options)), options)


if __name__ == "__main__":
    main()
