"""Hearing of tasks that end, whichever way and in whichever queue; and the list of queues."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from taskfleet.core.settlement import Verdict
from taskfleet.core.task import QueueKey, TaskError, TaskState, Usage
from taskfleet.store import Store, codec
from tests.store.given import POLICY, claim_one, settle, task, tasks
from tests.support.waiting import eventually

METADATA = b'{"messages":[],"metadata":{"a":1}}'


class Heard:
    """What was told of one queue: ids, and before them records of those that asked for that."""

    def __init__(self, store: Store, queue: QueueKey) -> None:
        self.ids: list[str] = []
        self.records: dict[str, bytes] = {}
        self._store = store
        self._queue = queue

    async def listen(self) -> None:
        async with aclosing(self._store.ends()) as ends:  # type: ignore[type-var]
            async for queue, told in ends:
                if queue == self._queue:
                    self.ids += [each for each, record in told.items() if record is None]
                    self.records |= {each: record for each, record in told.items() if record is not None}


@asynccontextmanager
async def listening(store: Store, queue: QueueKey) -> AsyncIterator[Heard]:
    """From the first end that is heard."""
    heard = Heard(store, queue)
    hearing = asyncio.create_task(heard.listen())
    probes = iter(task(f"probe-{number}") for number in range(1000))

    async def hears() -> bool:
        probe = next(probes)
        await store.submit(queue, [probe])
        await store.cancel(queue, [probe.id])
        return bool(heard.ids)

    try:
        await eventually(hears, "the first end to be told")
        yield heard
    finally:
        hearing.cancel()
        with suppress(asyncio.CancelledError):
            await hearing


async def test_every_end_is_told_once_and_nothing_else(store: Store, opened: QueueKey) -> None:
    async with listening(store, opened) as heard:
        await store.submit(opened, tasks(3))
        first = await claim_one(store, opened)
        await store.settle(opened, [settle(first)])
        second = await claim_one(store, opened)
        await store.settle(opened, [settle(second, Verdict.RELEASE)])
        await eventually(lambda: first.id in heard.ids, "the first end")
        assert second.id not in heard.ids
        await store.cancel(opened, [second.id])
        await eventually(lambda: second.id in heard.ids, "the second end")
        assert heard.ids.count(first.id) == 1
        assert heard.records == {}


ENDS: list[tuple[str, Verdict, dict[str, Any]]] = [
    ("completed", Verdict.COMPLETE, {"output": {"content": "yes"}, "usage": Usage(3, 4), "endpoint": "e"}),
    ("failed", Verdict.FAIL, {"error": TaskError("bad", "words", 400)}),
    ("cancelled", Verdict.CANCEL, {}),
]


@pytest.mark.spread
async def test_who_listens_hears_with_the_end_of_a_task_that_asked_for_it_how_it_ended(
    store: Store, opened: QueueKey
) -> None:
    async with listening(store, opened) as heard:
        for name, verdict, end in ENDS:
            told = task(name, body=METADATA)
            told = replace(told, announced=True, deadline=time.time() + 3600, tenant="one", session="s", events=True)
            await store.submit(opened, [told], batch="all")
            await store.settle(opened, [settle(await claim_one(store, opened), verdict, **end)])
            await eventually(lambda name=name: name in heard.ids, "the end")  # type: ignore[misc]
            assert codec.final_view(name, heard.records[name]) == (await store.get(opened, [name]))[0]
        (again,) = (await store.redrive(opened, ["failed"])).values()
        assert again == "redriven"
        await store.settle(opened, [settle(await claim_one(store, opened))])
        await eventually(lambda: heard.ids.count("failed") == 2, "its second end")
        assert codec.final_view("failed", heard.records["failed"]).state is TaskState.COMPLETED


async def test_a_result_that_is_large_is_for_reading(store: Store, opened: QueueKey) -> None:
    async with listening(store, opened) as heard:
        for name, size in (("small", 16_000), ("large", 17_000)):
            await store.submit(opened, [replace(task(name), announced=True)])
            await store.settle(opened, [settle(await claim_one(store, opened), output="x" * size)])
        await eventually(lambda: "large" in heard.ids, "the last end")
        assert heard.records.keys() == {"small"}


async def test_a_queue_is_listed_as_long_as_it_is_there(store: Store, opened: QueueKey) -> None:
    assert opened in await store.queues()
    await store.put_policy(opened, replace(POLICY, stopped=True))
    assert (await store.queues()).count(opened) == 1
    await store.drop_queue(opened)
    assert opened not in await store.queues()
