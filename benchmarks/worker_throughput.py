"""One worker against a bare aiohttp loop: the same calls to the same stub, 20 ms each, 100 in flight.

``python -m benchmarks.worker_throughput [--rounds 5] [--tasks 10000]``. Both sides run in a process of
their own on uvloop, the stub in a third, Valkey in a fourth; compare them within one run, the machine is what it is.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import aiohttp
import orjson
import uvloop

from benchmarks.rows import Findings, Row, medians, parser, rounds, tell
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.support.valkeyserver import running_valkey
from tests.support.workerprocess import prompts, quick_policy, worker_process

LATENCY = 0.02
IN_FLIGHT = 100
QUEUE = QueueKey("bench", "worker")
BARE = "bare aiohttp loop"


@contextmanager
def process_of(module: str, *arguments: str) -> Iterator[str]:
    """A module that runs as long as the block does; the URL that it says first."""
    with subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def stub_process(latency: float = LATENCY) -> AbstractContextManager[str]:
    return process_of("tests.support.modelstub", "--latency", str(latency))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def bare_loop(url: str, count: int) -> tuple[float, float]:
    """Wall and CPU seconds of ``count`` calls by plain aiohttp: what no worker can beat."""
    left = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def caller() -> None:
            for number in left:
                body = orjson.dumps({"model": "stub", "messages": [{"role": "user", "content": f"task {number}"}]})
                async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                    orjson.loads(await answer.read())

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
        return time.perf_counter() - began, time.process_time() - cpu


async def worker(url: str, store_url: str, count: int) -> tuple[float, float]:
    """Wall and CPU seconds of one worker process for ``count`` waiting tasks, from the queue's opening to the last."""
    store = await Store.connect(store_url)
    await store.put_policy(QUEUE, quick_policy(stopPolicy="Hold", leaseDuration="15s"))
    await store.submit(QUEUE, prompts(*(f"task-{number}" for number in range(count))))
    with worker_process(store_url, QUEUE, url, concurrency=IN_FLIGHT, fresh=True) as process:
        await process.says("working")
        began, cpu = time.perf_counter(), cpu_seconds(process.pid)
        await store.put_policy(QUEUE, quick_policy(leaseDuration="15s"))
        while True:
            stats = await store.stats(QUEUE)
            if stats is not None and stats.completed == count:
                break
            await asyncio.sleep(0.02)
        measured = time.perf_counter() - began, cpu_seconds(process.pid) - cpu
    await store.drop_queue(QUEUE)
    await store.close()
    return measured


def one_round(url: str, store_url: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.worker_throughput", "--tasks", str(count), "--bare", url]
    bare_wall, bare_cpu = (float(figure) for figure in subprocess.check_output(command, text=True).split())
    wall, cpu = asyncio.run(worker(url, store_url, count))
    return {
        "calls": count / wall,
        "bare calls": count / bare_wall,
        "cpu": 1000 * cpu / count,
        "bare cpu": 1000 * bare_cpu / count,
    }


def main() -> int:
    own = parser(__doc__)
    own.add_argument("--tasks", type=int, default=10_000)
    own.add_argument("--bare", metavar="URL", help=argparse.SUPPRESS)
    options = own.parse_args()
    count = 200 if options.quick else options.tasks
    if options.bare:
        print(*uvloop.run(bare_loop(f"{options.bare}/chat/completions", count)))
        return 0
    with stub_process() as url, tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as server:
        store_url = f"valkey://127.0.0.1:{server.port}"
        found = medians([one_round(url, store_url, count) for _ in rounds(options)])
    rows = [
        Row("worker.calls", "calls/s", found["calls"], "higher", {BARE: found["bare calls"]}),
        Row("worker.cpu_of_a_call", "ms", found["cpu"], "lower", {BARE: found["bare cpu"]}),
    ]
    return tell(Findings(rows), options)


if __name__ == "__main__":
    sys.exit(main())
