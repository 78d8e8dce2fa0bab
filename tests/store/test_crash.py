"""A server killed with SIGKILL and started again on its data: nothing that was accepted is lost."""

import asyncio
from pathlib import Path

import pytest
from tests.store import inside
from tests.store.given import MODEL, POLICY, settle, tasks
from tests.support.valkeyserver import running_valkey
from tests.support.waiting import eventually

from taskfleet.core.errors import StoreUnreachable
from taskfleet.core.settlement import Settlement
from taskfleet.core.task import QueueKey, TaskState
from taskfleet.store import Store

QUEUE = QueueKey("test", "crash")


async def test_nothing_accepted_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    """Producers and workers run against a server that is killed under them, twice."""
    accepted: set[str] = set()
    settled: dict[str, str] = {}
    kills = 0

    async def produce(store: Store, name: str) -> None:
        round_number = 0
        while kills < 2:
            round_number += 1
            new = tasks(5, f"{name}-{round_number}-")
            try:
                await store.submit(QUEUE, new)
            except StoreUnreachable:
                await asyncio.sleep(0.01)
                continue
            accepted.update(each.id for each in new)

    async def work(store: Store, name: str) -> None:
        while kills < 2:
            try:
                claim = await store.claim(QUEUE, name, [MODEL], 3)
                ends: list[Settlement] = [settle(leased, output=f"{name} {leased.fence}") for leased in claim.tasks]
                for end, ok in zip(ends, await store.settle(QUEUE, ends), strict=True):
                    if ok:
                        assert end.task_id not in settled, "settled twice"
                        settled[end.task_id] = str(end.output)
                if not claim.tasks:
                    await asyncio.sleep(0.005)
            except StoreUnreachable:
                await asyncio.sleep(0.01)

    with running_valkey(tmp_path, appendonly=True, appendfsync="always") as server:
        server._desired_port = server.port
        store = await Store.connect(f"valkey://127.0.0.1:{server.port}")
        await store.put_policy(QUEUE, POLICY)
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(produce(store, f"p{number}"))
                group.create_task(work(store, f"w{number}"))
            for goal in (150, 300):
                await eventually(lambda goal=goal: len(settled) >= goal, f"{goal} results")
                server.terminate()
                await asyncio.to_thread(server.start)
                kills += 1

        views = dict(zip(accepted, await store.get(QUEUE, list(accepted)), strict=True))
        assert len(accepted) > 300 and None not in views.values(), "an accepted task is still there"
        for name, output in settled.items():
            view = views.get(name) or (await store.get(QUEUE, [name]))[0]
            assert view is not None and (view.state, view.output) == (TaskState.COMPLETED, output)
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
