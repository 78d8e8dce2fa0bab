"""A store at its maxmemory: nothing new comes in, and what runs goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfleet.core.errors import StoreOutOfMemory
from taskfleet.core.settlement import Verdict
from taskfleet.core.task import NewTask, QueueKey, TaskState
from taskfleet.store import Store, lua
from tests.store import inside
from tests.store.given import MODEL, POLICY, claim_one, error, policy, report, settle, tasks
from tests.store.test_submit import stage
from tests.support.valkeyserver import running_valkey

QUEUE = QueueKey("test", "full")


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_valkey(tmp_path_factory.mktemp("full")) as server:
        yield f"valkey://127.0.0.1:{server.port}"


async def filled(url: str) -> Store:
    """A store that holds twelve tasks, four of them running, and has no room for more."""
    store = await Store.connect(url)
    await inside.call(store, "CONFIG SET", "maxmemory", 0)
    await store.drop_queue(QUEUE)
    await store.put_policy(QUEUE, POLICY)
    await store.submit(QUEUE, tasks(12), batch="b")
    await inside.call(store, "SCRIPT FLUSH")
    await inside.call(store, "CONFIG SET", "maxmemory", 1)
    return store


async def test_a_submission_is_refused_whole(small_server: str) -> None:
    store = await filled(small_server)
    for many in (tasks(1, "x"), tasks(2500, "x")):
        with pytest.raises(StoreOutOfMemory, match=r"is full \(maxmemory\).*raise maxmemory or let it drain"):
            await store.submit(QUEUE, many, batch="new")
    census = await inside.assert_consistent(store, QUEUE)
    assert len(census.state) == 12 and census.stats["sequence"] == 12
    assert await store.batch(QUEUE, "new") is None
    await store.close()


async def test_a_big_submission_that_meets_the_limit_midway_leaves_nothing(small_server: str, tmp_path: Path) -> None:
    store = await filled(small_server)
    info = await inside.call(store, "INFO", "memory")
    await inside.call(store, "CONFIG SET", "maxmemory", info["used_memory"] + 3_000_000)

    def many() -> Iterator[NewTask]:
        yield from tasks(100_000, "x", body=b'{"messages":"' + b"x" * 1000 + b'"}')

    with pytest.raises(StoreOutOfMemory):
        await store.submit(QUEUE, many())
    census = await inside.assert_consistent(store, QUEUE)
    assert len(census.state) == 12 and census.lane_counts.get("+", 0) == 0
    assert not any(name.startswith("stage") for name in await inside.key_names(store, QUEUE))
    await store.close()


async def test_running_work_goes_on_to_its_end(small_server: str) -> None:
    store = await filled(small_server)
    claim = await store.claim(QUEUE, "w1", [MODEL], 5)
    assert len(claim.tasks) == 5
    beat = await store.heartbeat(QUEUE, report(), {leased.id: leased.fence for leased in claim.tasks})
    assert beat.lost == frozenset()
    ends = [
        settle(claim.tasks[0]),
        settle(claim.tasks[1], Verdict.FAIL, error=error()),
        settle(claim.tasks[2], Verdict.RETRY, delay=60, error=error()),
        settle(claim.tasks[3], Verdict.RELEASE),
    ]
    assert await store.settle(QUEUE, ends) == [True] * 4
    assert await store.cancel(QUEUE, ["t00009", claim.tasks[4].id]) == {"t00009": "cancelled", "t00004": "cancelling"}
    await inside.call(store, "CONFIG SET", "maxmemory", 0)
    await inside.end_leases(store, QUEUE)
    await inside.make_retries_due(store, QUEUE)
    await inside.call(store, "CONFIG SET", "maxmemory", 1)
    await store.tick(QUEUE)
    await inside.assert_consistent(store, QUEUE)
    stats = await store.stats(QUEUE)
    assert stats is not None and (stats.completed, stats.failed, stats.cancelled, stats.pending) == (1, 1, 2, 8)
    await store.put_policy(QUEUE, policy(stopped=True))
    await store.retire(QUEUE, "w1")
    again = await Store.connect(small_server)
    (view,) = await again.get(QUEUE, ["t00000"])
    assert view is not None and view.state is TaskState.COMPLETED
    await again.close()
    await store.drop_queue(QUEUE)
    await store.close()


async def test_a_submission_already_staged_can_still_be_committed(small_server: str) -> None:
    store = await filled(small_server)
    await inside.call(store, "CONFIG SET", "maxmemory", 0)
    number = await stage(store, QUEUE, *tasks(3, "x"))
    await inside.call(store, "CONFIG SET", "maxmemory", 1)
    assert await store._connection.run(lua.COMMIT, QUEUE, number) == [b"ok"]
    await inside.assert_consistent(store, QUEUE)
    assert (await claim_one(store, QUEUE)).id == "t00000"
    await store.close()
