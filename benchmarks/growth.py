"""What many waiting tasks, tenants and worker processes cost: each operation of the store at each size, in one run.

``python -m benchmarks.growth [--rounds 5]``; rows ``growth.*``. The queues of all sizes are filled first and measured
in turn, so that a busy moment of the machine meets all of them; the peer of each row is the smallest size. The worker
processes claim and settle by 100, all ready before the first begins.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TypeVar

import uvloop

from benchmarks.rows import Findings, Row, is_wanted, parser, rounds, tell
from benchmarks.store_work import BODY, MODEL, POLICY, tasks
from taskfleet.core.settlement import Settlement, Verdict, WorkerReport
from taskfleet.core.task import LeasedTask, NewTask, QueueKey, TaskError, new_task_id
from taskfleet.store import Store
from tests.support.valkeyserver import running_valkey

T = TypeVar("T")

SAMPLES = 60  # of each operation in a round
BATCH = 100
DRAINED = 20_000
PROCESSES = (1, 2, 4, 8)
WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Filling:
    """What waits in a queue while its operations are timed; ``label`` is part of the rows' ids."""

    label: str
    pending: int
    tenants: int = 1

    @property
    def queue(self) -> QueueKey:
        return QueueKey("bench", self.label.replace("_", "-"))

    def tasks(self, count: int) -> Iterator[NewTask]:
        """For all tenants in turn."""
        return (
            NewTask(new_task_id(), MODEL, BODY, tenant=f"tenant-{number % self.tenants}") for number in range(count)
        )


# An axis: its first filling is what the others are compared with.
AXES = (
    tuple(Filling(f"{pending}_pending", pending) for pending in (1000, 10_000, 100_000, 1_000_000)),
    tuple(Filling(f"{tenants}_tenants", 10_000, tenants) for tenants in (1, 10, 100, 1000)),
)
QUICK_AXES = (
    tuple(Filling(f"{pending}_pending", pending) for pending in (200, 1000)),
    tuple(Filling(f"{tenants}_tenants", 200, tenants) for tenants in (1, 10)),
)


OPERATIONS = ("submit", "get", "cancel", "claim", "heartbeat", "settle", "retry", "fail", "redrive", "stats", "tick")


def row_id(operation: str, filling: Filling) -> str:
    return f"growth.{operation}_with_{filling.label}"


async def costs(store: Store, filling: Filling, samples: int) -> dict[str, float]:
    """Median milliseconds of each operation; as many tasks wait afterwards as before."""
    queue, took = filling.queue, defaultdict[str, list[float]](list)

    async def timed(name: str, call: Awaitable[T]) -> T:
        began = time.perf_counter()
        answer = await call
        took[name].append(1000 * (time.perf_counter() - began))
        return answer

    async def claimed() -> LeasedTask:
        (task,) = (await timed("claim", store.claim(queue, WORKER, [MODEL], 1))).tasks
        return task

    for _ in range(samples):
        kept, dropped = filling.tasks(2)
        await timed("submit", store.submit(queue, [kept]))
        await timed("submit", store.submit(queue, [dropped]))
        await timed("get", store.get(queue, [dropped.id]))
        await timed("cancel", store.cancel(queue, [dropped.id]))
        task = await claimed()
        report = WorkerReport(WORKER, "pool", "endpoint", 1, 1)
        await timed("heartbeat", store.heartbeat(queue, report, {task.id: task.fence}))
        done = Settlement(task.id, task.fence, Verdict.COMPLETE, output="done")
        await timed("settle", store.settle(queue, [done]))
        task = await claimed()
        again = Settlement(task.id, task.fence, Verdict.RETRY, error=TaskError("trouble", "try it again"))
        await timed("retry", store.settle(queue, [again]))
        task = await claimed()
        failed = Settlement(task.id, task.fence, Verdict.FAIL, error=TaskError("trouble", "no more"))
        await timed("fail", store.settle(queue, [failed]))
        await timed("redrive", store.redrive(queue, [task.id]))
        await timed("stats", store.stats(queue))
        await timed("tick", store.tick(queue))
    return {name: statistics.median(values) for name, values in took.items()}


async def grow(store: Store, axis: tuple[Filling, ...], options: argparse.Namespace) -> list[Row]:
    for filling in axis:
        await store.put_policy(filling.queue, POLICY)
        await store.submit(filling.queue, filling.tasks(filling.pending))
    samples = 3 if options.quick else SAMPLES
    found = [[await costs(store, filling, samples) for filling in axis] for _ in rounds(options)]
    for filling in axis:
        await store.drop_queue(filling.queue)
    rows = []
    for name in OPERATIONS:
        costs_ = [statistics.median(each[at][name] for each in found) for at in range(len(axis))]
        rows += [
            Row(row_id(name, filling), "ms", cost, "lower", {f"with {axis[0].label}": costs_[0]})
            for filling, cost in zip(axis[1:], costs_[1:], strict=True)
        ]
    return rows


def drain(store_url: str, ready: Barrier, ends: "multiprocessing.Queue[tuple[float, float]]") -> None:
    """One worker process: when its first claim began and its last settlement ended."""

    async def work() -> tuple[float, float]:
        store = await Store.connect(store_url)
        await asyncio.get_running_loop().run_in_executor(None, ready.wait)
        began = time.monotonic()
        while found := (await store.claim(QUEUE, WORKER, [MODEL], BATCH)).tasks:
            done = [Settlement(task.id, task.fence, Verdict.COMPLETE, output="done") for task in found]
            await store.settle(QUEUE, done)
        ended = time.monotonic()
        await store.close()
        return began, ended

    ends.put(uvloop.run(work()))


QUEUE = QueueKey("bench", "processes")


async def rate_of(store: Store, store_url: str, processes: int, count: int) -> float:
    """Tasks a second that so many processes claim and settle together."""
    await store.drop_queue(QUEUE)
    await store.put_policy(QUEUE, POLICY)
    await store.submit(QUEUE, tasks(count))
    context = multiprocessing.get_context("spawn")
    ready, ends = context.Barrier(processes), context.Queue()
    started = [context.Process(target=drain, args=(store_url, ready, ends)) for _ in range(processes)]
    for process in started:
        process.start()
    times: list[tuple[float, float]] = [ends.get(timeout=60) for _ in started]
    for process in started:
        process.join(10)
    return count / (max(ended for _, ended in times) - min(began for began, _ in times))


async def measure(options: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as server:
        store_url = f"valkey://127.0.0.1:{server.port}"
        store = await Store.connect(store_url, timeout=30)
        count, processes = (500, PROCESSES[:2]) if options.quick else (DRAINED, PROCESSES)
        if is_wanted(options, "growth.drain_by_"):
            found = [[await rate_of(store, store_url, number, count) for number in processes] for _ in rounds(options)]
            rates = [statistics.median(each[at] for each in found) for at in range(len(processes))]
            rows += [
                Row(f"growth.drain_by_{number}_processes", "tasks/s", rate, "higher", {"one process": rates[0]})
                for number, rate in zip(processes[1:], rates[1:], strict=True)
            ]
            await store.drop_queue(QUEUE)
        for axis in QUICK_AXES if options.quick else AXES:
            if is_wanted(options, *(row_id(operation, filling) for operation in OPERATIONS for filling in axis[1:])):
                rows += await grow(store, axis, options)
        await store.close()
    return [row for row in rows if is_wanted(options, row.id)]


def main() -> int:
    options = parser(__doc__).parse_args()
    return tell(Findings(uvloop.run(measure(options))), options)


if __name__ == "__main__":
    sys.exit(main())
