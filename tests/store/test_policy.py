"""A queue exists while its policy does."""

import asyncio
from collections.abc import Sequence

import pytest

from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.store import inside
from tests.store.given import MODEL, POLICY, claim_one, policy, report, settle, tasks

pytestmark = pytest.mark.spread


@pytest.mark.one_place("it compares the policy")
async def test_a_policy_comes_back_as_it_was_put(store: Store, queue: QueueKey) -> None:
    assert await store.policy(queue) is None
    assert await store.put_policy(queue, POLICY) is True
    assert await store.policy(queue) == POLICY


async def test_putting_the_same_policy_again_changes_nothing(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, POLICY)
    version = (await store.claim(queue, "w1", [MODEL], 1)).policy_version
    assert await store.put_policy(queue, POLICY) is False
    assert (await store.claim(queue, "w1", [MODEL], 1)).policy_version == version


async def test_each_change_gives_the_policy_a_new_version_even_for_a_queue_made_again(
    store: Store, queue: QueueKey
) -> None:
    versions = []
    for put in (POLICY, policy(max_attempts=7), POLICY):
        assert await store.put_policy(queue, put) is True
        versions.append((await store.claim(queue, "w1", [MODEL], 1)).policy_version)
    await store.drop_queue(queue)
    await store.put_policy(queue, POLICY)
    versions.append((await store.claim(queue, "w1", [MODEL], 1)).policy_version)
    assert len(set(versions)) == 4


@pytest.mark.one_place("the order over a whole queue")
async def test_a_stopped_queue_gives_nothing_out_and_still_takes_results(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(2))
    leased = await claim_one(store, opened)
    await store.put_policy(opened, policy(stopped=True))
    claim = await store.claim(opened, "w1", [MODEL], 1)
    assert claim.stopped and not claim.tasks
    assert await store.settle(opened, [settle(leased)]) == [True]
    await store.put_policy(opened, POLICY)
    assert (await claim_one(store, opened)).id == "t00001"


async def test_a_queue_that_does_not_exist_has_no_numbers_no_tasks_no_workers_and_no_work(
    store: Store, queue: QueueKey
) -> None:
    assert await store.stats(queue) is None
    assert await store.get(queue, ["t1"]) == [None]
    assert await store.batch(queue, "b") is None
    assert await store.cancel(queue, ["t1"]) == {"t1": "not_found"}
    claim = await store.claim(queue, "w1", [MODEL], 5)
    assert (claim.tasks, claim.stopped, claim.next_due_in, claim.policy_version) == ((), True, None, 0)
    beat = await store.heartbeat(queue, report(), {"t1": 1})
    assert beat.lost == {"t1"}
    assert await store.workers(queue) == []
    await store.tick(queue)
    assert await inside.key_names(store, queue) == set()


async def test_a_dropped_queue_leaves_no_key_and_no_other_queue_is_touched(
    store: Store, opened: QueueKey, store_url: str
) -> None:
    neighbour = QueueKey(opened.namespace, opened.name + "-2")
    await store.put_policy(neighbour, POLICY)
    for place in (opened, neighbour):
        await store.submit(place, tasks(1200), batch="b")
        leased = await claim_one(store, place)
        await store.heartbeat(place, report(), {leased.id: leased.fence})
        await store.settle(place, [settle(leased)])
    await store.drop_queue(opened)
    assert await inside.key_names(store, opened) == set()
    assert await store.policy(opened) is None
    stats = await store.stats(neighbour)
    assert stats is not None and stats.pending == 1199
    await store.drop_queue(neighbour)


async def test_a_worker_of_a_dropped_queue_is_told_that_its_lease_is_lost(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    leased = await claim_one(store, opened)
    await store.drop_queue(opened)
    assert (await store.heartbeat(opened, report(), {leased.id: leased.fence})).lost == {leased.id}
    assert await store.settle(opened, [settle(leased)]) == [False]
    assert await inside.key_names(store, opened) == set()


@pytest.mark.one_place("it comes between the steps of one place")
async def test_a_queue_that_is_made_anew_keeps_its_tasks_from_a_drop_that_was_held_still(
    store: Store, queue: QueueKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put_policy(queue, POLICY)
    scan, held = store._connection.scan, asyncio.Event()

    async def held_still(of: QueueKey, cursor: int, count: int) -> tuple[int, Sequence[bytes]]:
        if not held.is_set():
            held.set()
            await store.put_policy(queue, policy(max_attempts=7))
            await store.submit(queue, tasks(3))
        return await scan(of, cursor, count)

    monkeypatch.setattr(store._connection, "scan", held_still)
    await store.drop_queue(queue)
    stats = await store.stats(queue)
    assert stats is not None
    assert stats.pending == 3
    assert len((await store.claim(queue, "w1", [MODEL], 5)).tasks) == 3
