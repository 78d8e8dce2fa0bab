"""Batches: 50,000 lines and 200 MB through one gateway and one worker, and online calls while such a backlog waits.

``python -m benchmarks.gateway_batch [--rounds 5]``; rows ``batch.*``. The model server answers at once. From the
moment of ``POST /v1/batches``: until all lines are checked, until all are in the queue, until all have ended, and until
the batch is ``completed``; each of these goes on while the one before it does. Memory is the gateway's at its peak.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import orjson
import uvloop

from benchmarks.gateway_load import KEY, Load, load
from benchmarks.gateway_sides import QUEUE, Ours, model_server, ours
from benchmarks.rows import Findings, Row, is_wanted, medians, parser, rounds, tell
from tests.support.waiting import eventually

LINES = 50_000
LARGE_BYTES, LARGE_LINES = 199 * 2**20, 20_000
QUICK_LINES = 500
WORKER_SLOTS = 100
BATCH_SECONDS = 600.0
LOOK_SECONDS = 0.05
ONLINE_CALLS, ONLINE_AT_ONCE = 400, 4
BACKLOG_LATENCY = 0.02

Figures = dict[str, float]


def lines(count: int, size: int) -> bytes:
    """A file of so many requests with prompts of so many bytes."""
    body = {"model": "stub", "messages": [{"role": "user", "content": "x" * size}]}
    line = {"custom_id": "", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return b"".join(orjson.dumps({**line, "custom_id": f"request-{number}"}) + b"\n" for number in range(count))


async def begin(client: httpx.AsyncClient, content: bytes) -> str:
    """The id of a batch that is begun with a file of this content."""
    uploaded = await client.post("/v1/files", files={"file": ("in.jsonl", content)}, data={"purpose": "batch"})
    asked = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = await client.post("/v1/batches", json={**asked, "input_file_id": uploaded.raise_for_status().json()["id"]})
    return str(made.raise_for_status().json()["id"])


async def run(side: Ours, content: bytes, count: int) -> Figures:
    """Seconds after which each stage was over. Raises RuntimeError when a line was lost."""
    async with client_of(side) as client:
        batch_id, began = await begin(client, content), time.perf_counter()
        stages: dict[str, Callable[[dict[str, Any], dict[str, int], int], bool]] = {
            "checked": lambda batch, _counters, _open: batch["status"] != "validating",
            "enqueued": lambda _batch, counters, _open: counters["enqueued"] >= count,
            "ended": lambda _batch, counters, still_open: counters["enqueued"] >= count and not still_open,
            "completed": lambda batch, _counters, _open: batch["status"] == "completed",
        }
        found: Figures = {}
        while len(found) < len(stages) and time.perf_counter() - began < BATCH_SECONDS:
            batch = (await client.get(f"/v1/batches/{batch_id}")).json()
            stats = await side.store.stats(QUEUE)
            assert stats is not None
            for stage, is_over in stages.items():
                if stage not in found and is_over(batch, stats.counters, stats.pending + stats.running):
                    found[stage] = time.perf_counter() - began
            await asyncio.sleep(LOOK_SECONDS)
        await check(client, batch, count)
        return found


async def check(client: httpx.AsyncClient, batch: dict[str, Any], count: int) -> None:
    """That each line is in the output once."""
    names: set[str] = set()
    written = 0
    async with client.stream("GET", f"/v1/files/{batch['output_file_id']}/content") as answer:
        async for line in answer.aiter_lines():
            names.add(orjson.loads(line)["custom_id"])
            written += 1
    if not batch["request_counts"]["completed"] == len(names) == written == count:
        raise RuntimeError(f"of {count} lines {len(names)} are in {written} of the output: {batch}")


def client_of(side: Ours) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=side.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=BATCH_SECONDS)


async def one_batch(count: int, size: int) -> Figures:
    """A batch on a gateway of its own."""
    with model_server(0.0) as model:
        async with ours(model, concurrency=WORKER_SLOTS) as side:
            found = await run(side, lines(count, size), count)
            return found | {"memory": side.memory()}


async def online(side: Ours, calls: int) -> Load:
    await load(side.url, ONLINE_AT_ONCE, 4 * ONLINE_AT_ONCE)
    return await load(side.url, ONLINE_AT_ONCE, calls)


async def beside_a_backlog(count: int, calls: int) -> Figures:
    """p99 of online calls, in milliseconds, on an idle system and while so many lines of a batch wait."""
    with model_server(BACKLOG_LATENCY) as model:
        async with ours(model, concurrency=8) as side, client_of(side) as client:
            idle = await online(side, calls)
            await begin(client, lines(count, 10))

            async def all_wait() -> bool:
                stats = await side.store.stats(QUEUE)
                return stats is not None and stats.counters["enqueued"] >= count

            await eventually(all_wait, "the batch to be in the queue", timeout=BATCH_SECONDS)
            busy = await online(side, calls)
            return {"idle": idle.milliseconds(0.99), "busy": busy.milliseconds(0.99)}


def measure(options: argparse.Namespace) -> Iterator[Row]:
    count = QUICK_LINES if options.quick else LINES
    if is_wanted(options, "batch.of_50000_lines"):
        found = medians([uvloop.run(one_batch(count, 10)) for _ in rounds(options)])
        yield from _batch_rows("batch.of_50000_lines", found)
    if is_wanted(options, "batch.of_200_MB") and not options.quick:  # which is the same with larger lines
        found = uvloop.run(one_batch(LARGE_LINES, LARGE_BYTES // LARGE_LINES - 200))
        yield from _batch_rows("batch.of_200_MB", found)
    if is_wanted(options, "batch.p99_of_online_calls_beside_it"):
        calls = ONLINE_AT_ONCE if options.quick else ONLINE_CALLS
        found = medians([uvloop.run(beside_a_backlog(count, calls)) for _ in rounds(options)])
        yield Row("batch.p99_of_online_calls_beside_it", "ms", found["busy"], "lower", {"idle": found["idle"]})


def _batch_rows(name: str, found: Figures) -> Iterator[Row]:
    memory = found.pop("memory")
    for stage, seconds in found.items():
        yield Row(f"{name}.{stage}", "s", seconds, "lower")
    yield Row(f"{name}.memory", "MiB", memory, "lower")


def main() -> int:
    options = parser(__doc__).parse_args()
    return tell(Findings(list(measure(options))), options)


if __name__ == "__main__":
    sys.exit(main())
