"""What the store itself can do, on a real server on this machine.

``python -m benchmarks.store_throughput [--tasks 20000] [--pick-ups 200] [--growth 1000,10000,100000]``. Rows:
submitting one by one and in bulk; draining by claims and settlements of 100, one and four of them at once in one
process; the time from a submission to its claim by a sleeping worker (p50, p99); memory of a waiting task of 1 KiB; and
the cost of each operation with ever more tasks waiting. Server and client share the machine: compare rows within one
run.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvloop

from taskfleet.core.settlement import QueuePolicy, Settlement, Verdict
from taskfleet.core.task import NewTask, QueueKey, new_task_id
from taskfleet.store import Store
from tests.support.valkeyserver import running_valkey

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


def show(row: str, value: float, unit: str) -> None:
    print(f"{row:44} {value:12,.1f} {unit}")


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


async def throughput(store: Store, count: int) -> None:
    await fresh(store)

    async def one_by_one() -> None:
        for task in tasks(count // 10):
            await store.submit(QUEUE, [task])

    show("submit one by one", count // 10 / await seconds(one_by_one), "tasks/s")
    await fresh(store)
    show("submit in bulk", count / await seconds(lambda: store.submit(QUEUE, tasks(count))), "tasks/s")
    show("drain by 100, one at a time", count / await seconds(lambda: drain(store, "w")), "tasks/s")
    await store.submit(QUEUE, tasks(count))

    async def four() -> None:
        await asyncio.gather(*(drain(store, f"w{number}") for number in range(4)))

    show("drain by 100, four at once", count / await seconds(four), "tasks/s")


async def pick_up(store: Store, count: int) -> None:
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
    show("pick-up p50", hundredths[49] * 1000, "ms")
    show("pick-up p99", hundredths[98] * 1000, "ms")


async def memory(store: Store, count: int) -> None:
    async def used() -> int:
        found = await store._connection.call("INFO", "memory")  # noqa: SLF001 - no one else asks
        return int(found["used_memory"]) - int(found["mem_clients_normal"])  # not the buffers of this very connection

    await fresh(store)
    before = await used()
    await store.submit(QUEUE, tasks(count))
    show(f"memory of a waiting task of {len(BODY)} bytes", (await used() - before) / count, "bytes")


async def growth(store: Store, sizes: list[int]) -> None:
    """Median cost of each operation with that many tasks waiting."""
    for size in sizes:
        await fresh(store)
        await store.submit(QUEUE, tasks(size))
        costs: dict[str, list[float]] = {}
        for _ in range(200):
            task = next(tasks(1))
            began = time.perf_counter()
            await store.submit(QUEUE, [task])
            submitted = time.perf_counter()
            (leased,) = (await store.claim(QUEUE, "w", [MODEL], 1)).tasks
            claimed = time.perf_counter()
            await store.settle(QUEUE, [Settlement(leased.id, leased.fence, Verdict.COMPLETE, output="done")])
            settled = time.perf_counter()
            await store.stats(QUEUE)
            counted = time.perf_counter()
            await store.cancel(QUEUE, [task.id])
            cancelled = time.perf_counter()
            marks = [began, submitted, claimed, settled, counted, cancelled]
            for name, first, last in zip(
                ("submit", "claim", "settle", "stats", "cancel"), marks, marks[1:], strict=False
            ):
                costs.setdefault(name, []).append(last - first)
        shown = "  ".join(f"{name} {statistics.median(values) * 1000:.2f}" for name, values in costs.items())
        print(f"ms with {size:>9,} waiting:  {shown}")


async def run(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as server:
        store = await Store.connect(f"valkey://127.0.0.1:{server.port}", timeout=30)
        await throughput(store, options.tasks)
        await pick_up(store, options.pick_ups)
        await memory(store, options.tasks)
        await growth(store, [int(size) for size in options.growth.split(",") if size])
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=20_000, help="tasks for throughput and memory (default 20000)")
    parser.add_argument("--pick-ups", type=int, default=200, help="samples of the pick-up time (default 200)")
    parser.add_argument("--growth", default="1000,10000,100000", help="queue sizes, with commas (default up to 1e5)")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
