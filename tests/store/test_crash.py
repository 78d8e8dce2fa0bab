"""A server killed with SIGKILL and started again on its data: nothing that was accepted is lost."""

import asyncio
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from taskfleet.core.errors import StoreUnreachable
from taskfleet.core.task import QueueKey, TaskState
from taskfleet.store import Store
from tests.store import inside
from tests.store.given import MODEL, POLICY, settle, tasks
from tests.support.valkeyserver import running_valkey
from tests.support.waiting import eventually

QUEUE = QueueKey("test", "crash")


class Traffic:
    """Producers and workers that go on through every loss, and remember what the store said yes to."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.accepted: set[str] = set()
        self.settled: dict[str, str] = {}
        self.over = False

    async def produce(self, name: str) -> None:
        for number in count():
            if self.over:
                return
            new = tasks(5, f"{name}-{number}-")
            with suppress(StoreUnreachable):
                await self.store.submit(QUEUE, new)
                self.accepted.update(each.id for each in new)
            await asyncio.sleep(0)

    async def work(self, name: str) -> None:
        while not self.over:
            with suppress(StoreUnreachable):
                claim = await self.store.claim(QUEUE, name, [MODEL], 3)
                ends = [settle(leased, output=f"{name} {leased.fence}") for leased in claim.tasks]
                for end, accepted in zip(ends, await self.store.settle(QUEUE, ends), strict=True):
                    if accepted:
                        assert end.task_id not in self.settled, "settled twice"
                        self.settled[end.task_id] = str(end.output)
            await asyncio.sleep(0)


async def test_nothing_accepted_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    with running_valkey(tmp_path, appendonly=True, appendfsync="always") as server:
        server._desired_port = server.port
        store = await Store.connect(f"valkey://127.0.0.1:{server.port}")
        await store.put_policy(QUEUE, POLICY)
        traffic = Traffic(store)
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(traffic.produce(f"p{number}"))
                group.create_task(traffic.work(f"w{number}"))
            for goal in (150, 300):
                await eventually(lambda goal=goal: len(traffic.settled) >= goal, f"{goal} results")
                server.terminate()
                await asyncio.to_thread(server.start)
            traffic.over = True

        accepted = sorted(traffic.accepted)
        missing = [name for name, view in zip(accepted, await store.get(QUEUE, accepted), strict=True) if view is None]
        assert len(accepted) > 300 and not missing, "an accepted task is still there"
        settled = sorted(traffic.settled)
        for name, view in zip(settled, await store.get(QUEUE, settled), strict=True):
            assert view is not None and (view.state, view.output) == (TaskState.COMPLETED, traffic.settled[name])
        await inside.assert_consistent(store, QUEUE)
        await store.close()


async def test_a_lost_server_is_told_and_the_next_call_after_its_return_works(tmp_path: Path) -> None:
    with running_valkey(tmp_path, appendonly=True, appendfsync="always") as server:
        server._desired_port = server.port
        store = await Store.connect(f"valkey://127.0.0.1:{server.port}")
        await store.put_policy(QUEUE, POLICY)
        await store.submit(QUEUE, tasks(1500), batch="b")
        claim = await store.claim(QUEUE, "w1", [MODEL], 2)
        server.terminate()
        for call in (store.ping(), store.stats(QUEUE), store.submit(QUEUE, tasks(1, "x"))):
            with pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1:\d+ cannot be reached"):
                await call
        await asyncio.to_thread(server.start)
        stats = await store.stats(QUEUE)
        assert stats is not None and (stats.pending, stats.running) == (1498, 2)
        assert await store.settle(QUEUE, [settle(leased) for leased in claim.tasks]) == [True, True]
        batch = await store.batch(QUEUE, "b")
        assert batch is not None and (batch.total, batch.completed) == (1500, 2)
        await store.close()
