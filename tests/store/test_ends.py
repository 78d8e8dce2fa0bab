"""Hearing of tasks that end, whichever way and in whichever queue; and the list of queues."""

import asyncio
from contextlib import aclosing, suppress
from dataclasses import replace

from taskfleet.core.settlement import Verdict
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.store.given import POLICY, claim_one, settle, task, tasks
from tests.support.waiting import eventually


class Heard:
    """What was told of one queue."""

    def __init__(self, store: Store, queue: QueueKey) -> None:
        self.ids: list[str] = []
        self._store = store
        self._queue = queue

    async def listen(self) -> None:
        async with aclosing(self._store.ends()) as ends:  # type: ignore[type-var]
            async for queue, ids in ends:
                if queue == self._queue:
                    self.ids += ids


async def test_every_end_is_told_once_and_nothing_else(store: Store, opened: QueueKey) -> None:
    heard = Heard(store, opened)
    listening = asyncio.create_task(heard.listen())
    try:
        probes = iter(task(f"probe-{number}") for number in range(1000))

        async def hears() -> bool:
            probe = next(probes)
            await store.submit(opened, [probe])
            await store.cancel(opened, [probe.id])
            return bool(heard.ids)

        await eventually(hears, "the first end to be told")
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
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def test_a_queue_is_listed_as_long_as_it_is_there(store: Store, opened: QueueKey) -> None:
    assert opened in await store.queues()
    await store.put_policy(opened, replace(POLICY, stopped=True))
    assert (await store.queues()).count(opened) == 1
    await store.drop_queue(opened)
    assert opened not in await store.queues()
