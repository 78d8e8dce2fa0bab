"""What more workers, more submitters and a sick endpoint do; real worker processes against the stub model server.

``python -m benchmarks.scaling [--rounds 5]``; rows ``scaling.*``. Two and three workers against one, one task at a time
each, 200 ms a call, and how evenly they share; 50 submitters at once against one; and how many calls an endpoint still
gets after it became sick, while a healthy one is there.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx
import uvloop

from benchmarks.rows import Findings, Row, is_wanted, medians, parser, rounds, tell
from benchmarks.store_work import POLICY, seconds, tasks
from benchmarks.worker_throughput import stub_process
from taskfleet.core.task import QueueKey, TaskState, TaskView
from taskfleet.store import Store
from tests.support.valkeyserver import running_valkey
from tests.support.waiting import eventually
from tests.support.workerprocess import prompts, quick_policy, worker_process

QUEUE = QueueKey("bench", "scaling")
CALL_SECONDS = 0.2
FLEETS = (2, 3)
TASKS = 24  # a multiple of each of them
SUBMITTERS, SUBMITTED = 50, 3000
QUICK_CALL_SECONDS = 0.02
TASKS_WITH_A_SICK_ENDPOINT = 60  # about as many calls as the other one answers in 1.3 s


async def hold(store: Store, ids: Sequence[str]) -> None:
    """A queue with these tasks that gives none of them out yet."""
    await store.drop_queue(QUEUE)
    await store.put_policy(QUEUE, quick_policy(stopPolicy="Hold", leaseDuration="15s"))
    await store.submit(QUEUE, prompts(*ids))


async def finished(store: Store, ids: Sequence[str]) -> list[TaskView]:
    """The tasks once all of them are completed."""

    async def completed() -> bool:
        stats = await store.stats(QUEUE)
        return stats is not None and stats.completed == len(ids)

    await eventually(completed, f"{len(ids)} tasks to be completed", timeout=60)
    return [view for view in await store.get(QUEUE, ids) if view is not None and view.state is TaskState.COMPLETED]


async def fleet(store: Store, store_url: str, urls: Sequence[str], ids: Sequence[str]) -> list[TaskView]:
    """What became of the tasks: one worker for each of the URLs, one task at a time, all ready before the first."""
    await hold(store, ids)
    async with contextlib.AsyncExitStack() as stack:
        started = [
            stack.enter_context(
                worker_process(store_url, QUEUE, url, concurrency=1, name=f"worker-{number}", fresh=True)
            )
            for number, url in enumerate(urls)
        ]
        for process in started:
            await process.says("working", timeout=60)
        await store.put_policy(QUEUE, quick_policy(leaseDuration="15s"))
        return await finished(store, ids)


def rate(views: Sequence[TaskView]) -> float:
    """Tasks a second, from the first claim to the last end, by what the store kept of them."""
    begins = [view.enqueued_at + (view.queue_seconds or 0.0) for view in views]
    ends = [begin + (view.run_seconds or 0.0) for begin, view in zip(begins, views, strict=True)]
    return len(views) / (max(ends) - min(begins))


async def workers(store: Store, store_url: str, url: str, fleets: Sequence[int]) -> dict[str, float]:
    """For each fleet its rate against one worker, and how far its worst share is off an equal one, in percent."""
    ids, alone = [f"task-{number}" for number in range(TASKS)], 0.0
    found: dict[str, float] = {}
    for size in (1, *fleets):
        views = await fleet(store, store_url, [url] * size, ids)
        alone = alone or rate(views)
        shares, fair = Counter(view.worker for view in views), TASKS / size
        idle = size - len(shares)
        off = fair if idle else max(abs(count - fair) for count in shares.values())
        found |= {f"rate_of_{size}_workers": rate(views) / alone, f"spread_over_{size}_workers": 100 * off / fair}
    return found


async def submitters(store: Store, store_url: str, count: int) -> dict[str, float]:
    """Tasks a second that are submitted one by one: by one submitter, and by 50 with connections of their own."""

    async def submitter(own: Store, share: int) -> None:
        for task in tasks(share):
            await own.submit(QUEUE, [task])

    await store.drop_queue(QUEUE)
    await store.put_policy(QUEUE, POLICY)
    alone = count / await seconds(lambda: submitter(store, count))
    stores = [await Store.connect(store_url) for _ in range(SUBMITTERS)]

    async def together() -> None:
        await asyncio.gather(*(submitter(own, count // SUBMITTERS) for own in stores))

    found = {"alone": alone, "together": count / await seconds(together)}
    for own in stores:
        await own.close()
    stats = await store.stats(QUEUE)
    if stats is None or stats.pending != 2 * count:
        raise RuntimeError(f"{2 * count} tasks were submitted, the store has {stats and stats.pending}")
    return found


async def sick(store: Store, store_url: str) -> dict[str, float]:
    """Calls that the sick one of two endpoints gets while the other one does all the tasks."""
    ids = [f"task-{number}" for number in range(TASKS_WITH_A_SICK_ENDPOINT)]
    with stub_process() as healthy, stub_process() as ill:
        stub = ill.removesuffix("/v1")
        async with httpx.AsyncClient() as client:
            (await client.post(f"{stub}/stub/fault", json=["503"])).raise_for_status()
            await fleet(store, store_url, [healthy, ill], ids)
            told = (await client.get(f"{stub}/stub/calls")).json()
    return {"sick": sum(told["calls"].values())}


async def measure(options: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    latency, submitted = (QUICK_CALL_SECONDS, SUBMITTERS) if options.quick else (CALL_SECONDS, SUBMITTED)
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as server, stub_process(latency) as url:
        store_url = f"valkey://127.0.0.1:{server.port}"
        store = await Store.connect(store_url)
        if is_wanted(options, "scaling.rate_of_", "scaling.spread_over_"):
            fleets = FLEETS[:1] if options.quick else FLEETS
            found = medians([await workers(store, store_url, url, fleets) for _ in rounds(options)])
            for size in fleets:
                rate_id, spread_id = f"rate_of_{size}_workers", f"spread_over_{size}_workers"
                rows.append(Row(f"scaling.{rate_id}", "x one", found[rate_id], "higher"))
                rows.append(Row(f"scaling.{spread_id}", "% off", found[spread_id], "lower"))
        if is_wanted(options, "scaling.submit_by_50_at_once"):
            rates = medians([await submitters(store, store_url, submitted) for _ in rounds(options)])
            alone = {"one submitter": rates["alone"]}
            rows.append(Row("scaling.submit_by_50_at_once", "tasks/s", rates["together"], "higher", alone))
        if is_wanted(options, "scaling.calls_of_a_sick_endpoint"):
            calls = medians([await sick(store, store_url) for _ in rounds(options)])
            rows.append(Row("scaling.calls_of_a_sick_endpoint", "calls", calls["sick"], "lower"))
        await store.close()
    return rows


def main() -> int:
    options = parser(__doc__).parse_args()
    return tell(Findings(uvloop.run(measure(options))), options)


if __name__ == "__main__":
    sys.exit(main())
