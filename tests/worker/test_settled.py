"""What a worker says of the tasks that it settled is what the store shows of them, or nothing."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import NewTask, Priority, TaskError, TaskView, Usage
from taskfleet.telemetry.workermetrics import WorkerMetrics
from taskfleet.worker import outbox as outbox_module
from taskfleet.worker.outbox import Outbox
from taskfleet.worker.storehealth import StoreHealth
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import MODEL

BODY = orjson.dumps({"messages": [{"role": "user", "content": "hello"}], "metadata": {"row": 3, "who": "é"}})
PLAIN = b'{"messages":[],"metadata":{}}'

TASKS: dict[str, dict[str, Any]] = {
    "plain": {"body": PLAIN},
    "everything": {
        "body": BODY,
        "priority": Priority.CRITICAL,
        "tenant": "acme",
        "session": "s",
        "deadline": time.time() + 3600.25,
    },
    "delayed": {"body": PLAIN, "delay": 0.001},
}
ENDS: dict[str, dict[str, Any]] = {
    "a text": {"output": "héllo", "usage": Usage(3, 4), "endpoint": "a", "run_seconds": 1.23456789},
    "nothing but a text": {"output": ""},
    "a fallback's answer": {"output": "x", "model": "other", "endpoint": "b", "run_seconds": 0.5},
}


class Told(dict[str, TaskView | None]):
    def __call__(self, ends: Mapping[str, TaskView | None]) -> None:
        self.update(ends)


async def settled(work: Work, task: NewTask, *, batch: str | None = None, late: int = 0, **end: Any) -> Told:
    """Run one task to this end, and hear what is said of it."""
    told = Told()
    health = StoreHealth(metrics(), lambda: None)
    outbox = Outbox(work.store, work.queue, "me", health, nothing, lambda: False, told)
    await work.store.submit(work.queue, [task], batch=batch)
    claimed: list[Any] = []

    async def claim() -> bool:
        await work.store.tick(work.queue)
        claimed.extend((await work.store.claim(work.queue, "me", [MODEL], 1)).tasks)
        return bool(claimed)

    await eventually(claim, "the task to be claimed")
    (lease,) = claimed
    end = {"verdict": Verdict.COMPLETE, **end}
    outbox.put(Settlement(lease.id, lease.fence - late, **end), lease)
    running = asyncio.create_task(outbox.run())
    await outbox.until_empty()
    running.cancel()
    return told


async def nothing() -> None: ...


def metrics() -> WorkerMetrics:
    return WorkerMetrics(CollectorRegistry(), namespace="n", queue="q", pool="p", endpoint="e", models=[MODEL])


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("batch", [None, "a batch"])
async def test_a_completed_task_is_told_as_the_store_shows_it(
    work: Work, task: dict[str, Any], end: dict[str, Any], batch: str | None
) -> None:
    await work.open()
    told = await settled(work, NewTask("task", MODEL, **task), batch=batch, **end)
    assert told == {"task": (await work.views(["task"]))[0]}
    assert told["task"] is not None


@pytest.mark.parametrize(
    "end",
    [
        {"output": {"content": ("a", "b")}},
        {"verdict": Verdict.FAIL, "error": TaskError("bad", "words")},
        {"verdict": Verdict.RETRY, "error": TaskError("bad", "words")},
        {"verdict": Verdict.RELEASE},
        {"output": "late", "late": 1},
    ],
    ids=["not-a-text", "fail", "retry", "release", "refused"],
)
async def test_of_any_other_end_only_that_there_was_one_is_told(work: Work, end: dict[str, Any]) -> None:
    await work.open()
    assert await settled(work, NewTask("task", MODEL, PLAIN), **end) == {"task": None}


async def test_a_task_with_earlier_attempts_is_left_to_the_store(work: Work) -> None:
    await work.open(retry={"maxAttempts": 3, "initialDelay": "1ms"})
    await work.store.submit(work.queue, [NewTask("task", MODEL, PLAIN)])
    (first,) = (await work.store.claim(work.queue, "me", [MODEL], 1)).tasks
    await work.store.settle(
        work.queue, [Settlement("task", first.fence, Verdict.RETRY, error=TaskError("bad", "words"))]
    )
    told = Told()
    outbox = Outbox(work.store, work.queue, "me", StoreHealth(metrics(), lambda: None), nothing, lambda: False, told)
    (again,) = (await work.store.claim(work.queue, "me", [MODEL], 1)).tasks
    outbox.put(Settlement("task", again.fence, Verdict.COMPLETE, output="x"), again)
    running = asyncio.create_task(outbox.run())
    await outbox.until_empty()
    running.cancel()
    assert told == {"task": None}


@pytest.mark.parametrize("busy", [False, True])
async def test_results_are_gathered_only_where_the_worker_could_do_no_more(
    work: Work, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    monkeypatch.setattr(outbox_module, "GATHER_SECONDS", 60.0)
    await work.open()
    told = Told()
    outbox = Outbox(work.store, work.queue, "me", StoreHealth(metrics(), lambda: None), nothing, lambda: busy, told)
    await work.store.submit(work.queue, [NewTask(name, MODEL, PLAIN) for name in "abc"])
    *first, last = (await work.store.claim(work.queue, "me", [MODEL], 3)).tasks
    for lease in first:
        outbox.put(Settlement(lease.id, lease.fence, Verdict.COMPLETE, output="x"), lease)
    running = asyncio.create_task(outbox.run())
    await outbox.until_empty()
    outbox.put(Settlement(last.id, last.fence, Verdict.COMPLETE, output="x"), last)
    if not busy:
        await outbox.until_empty()
    await work.views(["a"])  # long enough for a batch to be taken
    assert (last.id in told) is not busy
    running.cancel()
