"""A parallel queue against the same calls as plain tasks, what its coordinator holds, and how soon the next goes on.

``python -m benchmarks.parallel [--rounds 3] [--items 10000]``; rows ``parallel.*``. 10,000 items of 3 steps, 50 at
once, calls of 20 ms to a stub; one worker with 50 slots serves both sides, and each has a process of its own. A step
waits for the one before it, and a plain task for nothing: so what lies between two steps weighs the more the shorter
calls are, and ``parallel.steps_200ms`` shows a fifth of the items with calls as long as short ones of a model. The
restart is of a run of 100,000 items that was killed half-way: from its beginning to the first new call. ``until``: how
late it is looked at with 10,000 items in flight and up to 10,000 done; ``million``: what the coordinator grows by after
the first 100,000 of 1,000,000 items, of which each hundredth makes a call.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.parallel_many import IN_FLIGHT as IN_FLIGHT_OF_UNTIL
from benchmarks.parallel_many import stream, watch_until
from benchmarks.rows import Findings, Row, is_wanted, medians, parser, rounds, tell
from benchmarks.worker_throughput import stub_process
from taskfleet.api.parallelqueue import ParallelQueueSpec
from taskfleet.core.task import QueueKey
from taskfleet.parallel.coordinator import Coordinator, Order
from taskfleet.parallel.driver import Driver
from taskfleet.store import Store
from tests.support.valkeyserver import running_valkey
from tests.support.workerprocess import prompts, quick_policy, worker_process

QUEUE = QueueKey("bench", "parallel")
IN_FLIGHT = 50
MODEL_LATENCY = 0.2  # seconds
STEPS = 3
MANY = 100_000
MILLION = 1_000_000
PLAIN = "plain tasks"
KEPT = 3600.0
MEBIBYTE = 1024  # of the kibibytes that Linux counts in


def spec_of(file: Path) -> ParallelQueueSpec:
    steps = [{"name": f"step{number}", "action": f"{number} of {{{{ $item }}}}"} for number in range(STEPS)]
    return ParallelQueueSpec.model_validate({"on": file.name, "max_parallel": IN_FLIGHT, "action_loop": steps})


async def driver_of(store: Store, file: Path) -> Driver:
    coordinator = await Coordinator.open(store, QUEUE)
    return await coordinator.driver(Order("bench", spec_of(file), {}, file.parent, {}))


async def run_items(store_url: str, file: Path) -> dict[str, float]:
    """Seconds of a run, and the MiB by which this process grew in it."""
    store = await Store.connect(store_url)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    await (await driver_of(store, file)).run(KEPT)
    seconds = time.perf_counter() - began
    await store.close()
    return {"seconds": seconds, "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / MEBIBYTE}


async def run_plain(store_url: str, count: int) -> dict[str, float]:
    """Seconds for so many tasks, from their submission to the last end."""
    store = await Store.connect(store_url)
    began = time.perf_counter()
    await store.submit(QUEUE, prompts(*(f"{count}-{number}" for number in range(count))))
    while True:
        stats = await store.stats(QUEUE)
        if stats is not None and stats.pending + stats.running == 0:
            break
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - began
    await store.close()
    return {"seconds": seconds}


async def half_then_again(store_url: str, file: Path) -> dict[str, float]:
    """Seconds from the beginning of a coordinator to its first new submission, after one that was killed half-way."""
    store = await Store.connect(store_url)
    driver = await driver_of(store, file)
    running = asyncio.create_task(driver.run(KEPT))
    await at_once(lambda: driver.record.tally.done >= MANY // 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    before = await enqueued(store)
    began = time.perf_counter()
    again = await driver_of(store, file)
    running = asyncio.create_task(again.run(KEPT))
    while await enqueued(store) == before:  # noqa: ASYNC110 - the store is asked
        await asyncio.sleep(0.005)
    seconds = time.perf_counter() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.close()
    return {"seconds": seconds}


async def at_once(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - the machine is not to be disturbed
        await asyncio.sleep(0.05)


async def enqueued(store: Store) -> int:
    stats = await store.stats(QUEUE)
    return 0 if stats is None else stats.counters["enqueued"]


def in_own_process(kind: str, store_url: str, what: object) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.parallel", "--run", kind, store_url, str(what)]
    found: dict[str, float] = json.loads(subprocess.check_output(command, text=True))
    return found


async def fresh(store_url: str) -> None:
    store = await Store.connect(store_url)
    await store.drop_queue(QUEUE)
    await store.put_policy(QUEUE, quick_policy(leaseDuration="15s"))
    await store.close()


def items(folder: Path, count: int) -> Path:
    file = folder / "items.txt"
    file.write_text("".join(f"item {number}\n" for number in range(count)))
    return file


def one_round(store_url: str, url: str, folder: Path, count: int) -> dict[str, float]:
    asyncio.run(fresh(store_url))
    with worker_process(store_url, QUEUE, url, concurrency=IN_FLIGHT, fresh=True):
        in_own_process("plain", store_url, IN_FLIGHT)  # from then on the worker is at work
        plain = in_own_process("plain", store_url, STEPS * count)
        run = in_own_process("items", store_url, items(folder, count))
    return {
        "steps": STEPS * count / run["seconds"],
        "plain": STEPS * count / plain["seconds"],
        "memory": run["memory"],
    }


def both_sides(options: argparse.Namespace, store_url: str, url: str, folder: Path, count: int) -> dict[str, float]:
    """Medians of the rounds."""
    return medians([one_round(store_url, url, folder, count) for _ in rounds(options)])


def alone(kind: str, store_url: str, url: str, folder: Path, count: int) -> dict[str, float]:
    """One run over so many items with one worker, and nothing beside it."""
    asyncio.run(fresh(store_url))
    with worker_process(store_url, QUEUE, url, concurrency=IN_FLIGHT, fresh=True):
        return in_own_process(kind, store_url, items(folder, count))


def own_run(kind: str, store_url: str, what: str) -> int:
    match kind:
        case "plain":
            found = asyncio.run(run_plain(store_url, int(what)))
        case "items":
            found = asyncio.run(run_items(store_url, Path(what)))
        case "until":
            found = asyncio.run(watch_until(store_url, QUEUE, Path(what)))
        case "stream":
            found = asyncio.run(stream(store_url, QUEUE, Path(what)))
        case _:
            found = asyncio.run(half_then_again(store_url, Path(what)))
    print(json.dumps(found))
    return 0


def main() -> int:
    own = parser(__doc__)
    own.add_argument("--items", type=int, default=10_000)
    own.add_argument("--run", nargs=3, metavar=("KIND", "STORE", "WHAT"), help=argparse.SUPPRESS)
    options = own.parse_args()
    if options.run:
        return own_run(*options.run)
    count = 100 if options.quick else options.items
    rows: list[Row] = []
    with stub_process() as url, tempfile.TemporaryDirectory() as name, running_valkey(Path(name)) as server:
        store_url, folder = f"valkey://127.0.0.1:{server.port}", Path(name)
        if is_wanted(options, "parallel.steps", "parallel.memory"):
            found = both_sides(options, store_url, url, folder, count)
            rows.append(Row("parallel.steps", "steps/s", found["steps"], "higher", {PLAIN: found["plain"]}))
            rows.append(Row("parallel.memory", "MiB", found["memory"], "lower"))
        if is_wanted(options, "parallel.steps_200ms"):
            with stub_process(MODEL_LATENCY) as slower:
                found = both_sides(options, store_url, slower, folder, count // 5)
            rows.append(Row("parallel.steps_200ms", "steps/s", found["steps"], "higher", {PLAIN: found["plain"]}))
        if is_wanted(options, "parallel.restart") and not options.quick:
            with stub_process(0.0) as quick_url:
                rows.append(
                    Row(
                        "parallel.restart",
                        "s",
                        alone("restart", store_url, quick_url, folder, MANY)["seconds"],
                        "lower",
                    )
                )
        if is_wanted(options, "parallel.until"):
            found = alone("until", store_url, url, folder, 200 if options.quick else 2 * IN_FLIGHT_OF_UNTIL)
            rows.append(Row("parallel.until_seen_p99", "s", found["p99"], "lower"))
        if is_wanted(options, "parallel.million") and not options.quick:
            found = alone("stream", store_url, url, folder, MILLION)
            rows.append(Row("parallel.million_items_added", "MiB", found["grown"], "lower"))
            rows.append(Row("parallel.million_items_rate", "items/s", found["items"], "higher"))
    return tell(Findings(rows), options)


if __name__ == "__main__":
    sys.exit(main())
