"""``process_dataset`` against a bare aiohttp loop, and what it holds in memory.

``python -m benchmarks.dataset [--rounds 5]``; rows ``dataset.*``. The calls take 20 ms, 100 in flight; the queue is in
the calling process and its store beside it, as without a URL. Memory is the growth of that process at its peak, from
the moment before the run; rows are made as they are read and results are written to a file, so that none of it is the
dataset. A million rows go through a handler in place of the model server: what holds memory is the same.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from benchmarks.rows import Findings, Row, is_wanted, medians, parser, rounds, tell
from benchmarks.worker_throughput import BARE, IN_FLIGHT, bare_loop, stub_process
from taskfleet import HandlerTask, ParallelTaskQueue

MANY, MOST = 100_000, 1_000_000  # rows
QUICK_ROWS = 200
MODEL = "stub"
MEBIBYTE = 1024  # of the kibibytes that Linux counts in


def texts(count: int) -> Iterator[str]:
    return (f"task {number}" for number in range(count))


def peak_memory() -> float:
    """MiB of this process at its peak."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBIBYTE


async def seconds_of(queue: ParallelTaskQueue, count: int, output: Path) -> float:
    """How long a run takes on a queue that is started before."""
    async with queue:
        began = time.perf_counter()
        done = await queue.process_dataset(texts(count), MODEL, output=output, progress=False)
        seconds = time.perf_counter() - began
    if done.completed != count:
        raise RuntimeError(f"{done.completed} of {count} rows were completed")
    return seconds


def calling(url: str) -> ParallelTaskQueue:
    return ParallelTaskQueue([{"url": url, "models": [MODEL], "concurrency": IN_FLIGHT}], max_workers=IN_FLIGHT)


def handling() -> ParallelTaskQueue:
    async def echo(task: HandlerTask) -> str:
        return task.prompt

    return ParallelTaskQueue(handler=echo, max_workers=IN_FLIGHT)


def one_run(kind: str, url: str, count: int) -> dict[str, float]:
    """Seconds and MiB of a run in this process: a peak is that of its whole life, so each has a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        output, before = Path(folder, "results.jsonl"), peak_memory()
        if kind == "bare":
            seconds, _ = uvloop.run(bare_loop(f"{url}/chat/completions", count))
        elif kind == "handler":
            seconds = uvloop.run(seconds_of(handling(), count, output))
        else:
            seconds = uvloop.run(seconds_of(calling(url), count, output))
        return {"seconds": seconds, "memory": peak_memory() - before}


def in_own_process(kind: str, url: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.dataset", "--run", kind, url, str(count)]
    found: dict[str, float] = json.loads(subprocess.check_output(command, text=True))
    return found


def side_by_side(url: str, count: int) -> dict[str, float]:
    """Rows a second of the bare loop and of the queue, and the MiB of the latter."""
    bare, queue = (in_own_process(kind, url, count) for kind in ("bare", "queue"))
    return {"bare": count / bare["seconds"], "queue": count / queue["seconds"], "memory": queue["memory"]}


def measure(options: argparse.Namespace) -> list[Row]:
    many, most = (QUICK_ROWS, 2 * QUICK_ROWS) if options.quick else (MANY, MOST)
    rows: list[Row] = []
    with stub_process() as url:
        if is_wanted(options, "dataset.rows", "dataset.memory_of_100000_rows"):
            found = medians([side_by_side(url, many) for _ in rounds(options)])
            rows.append(Row("dataset.rows", "rows/s", found["queue"], "higher", {BARE: found["bare"]}))
            rows.append(Row("dataset.memory_of_100000_rows", "MiB", found["memory"], "lower"))
        if is_wanted(options, "dataset.memory_of_1000000_rows"):
            few, held = (in_own_process("handler", url, count)["memory"] for count in (many, most))
            rows.append(Row("dataset.memory_of_1000000_rows", "MiB", held, "lower", {"100,000 rows": few}))
    return rows


def main() -> int:
    own = parser(__doc__)
    own.add_argument("--run", nargs=3, metavar=("KIND", "URL", "ROWS"), help=argparse.SUPPRESS)
    options = own.parse_args()
    if options.run:
        kind, url, count = options.run
        print(json.dumps(one_run(kind, url, int(count))))
        return 0
    return tell(Findings(measure(options)), options)


if __name__ == "__main__":
    sys.exit(main())
