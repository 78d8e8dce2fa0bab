"""What time brings even when nobody works: expiry, retention, and what is due."""

import pytest

from taskfleet.core.settlement import Verdict
from taskfleet.core.task import QueueKey, TaskState
from taskfleet.store import Store
from tests.store import inside
from tests.store.given import MODEL, claim_ids, claim_one, error, policy, settle, task, tasks

pytestmark = pytest.mark.spread


async def test_old_tasks_expire_without_any_worker(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(250))
    for each in tasks(249):
        await inside.make_older(store, opened, each.id, 4000)
    await store.tick(opened)
    stats = await store.stats(opened)
    assert stats is not None and (stats.expired, stats.pending) == (249, 1)
    await inside.assert_consistent(store, opened)


async def test_the_numbers_say_when_the_oldest_task_will_expire(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(2))
    await inside.make_older(store, opened, "t00000", 1000)
    stats = await store.stats(opened)
    assert stats is not None and stats.oldest_pending_at is not None and stats.next_due_at is not None
    assert 999 < stats.now - stats.oldest_pending_at < 1030
    assert abs(stats.next_due_at - (stats.oldest_pending_at + 3600)) < 0.01


async def test_the_oldest_waiting_task_is_found_behind_cancelled_ones_and_in_any_lane(
    store: Store, opened: QueueKey
) -> None:
    await store.submit(opened, [*tasks(3), task("other", model="big")])
    await inside.make_older(store, opened, "t00000", 500)
    await inside.make_older(store, opened, "t00001", 300)
    await inside.make_older(store, opened, "other", 200)
    await store.cancel(opened, ["t00000"])
    stats = await store.stats(opened)
    assert stats is not None and stats.oldest_pending_at is not None
    assert 299 < stats.now - stats.oldest_pending_at < 330
    await store.cancel(opened, ["t00001"])
    assert await claim_ids(store, opened, 1) == ["t00002"]
    stats = await store.stats(opened)
    assert stats is not None and stats.oldest_pending_at is not None
    assert 199 < stats.now - stats.oldest_pending_at < 230


async def test_dead_letters_leave_with_their_retention(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(2))
    for leased in (await store.claim(opened, "w1", [MODEL], 2)).tasks:
        await store.settle(opened, [settle(leased, Verdict.FAIL, error=error())])
    oldest = await inside.place_of(store, opened, "t00000")
    await inside.call(store, "ZADD", inside.keys.key(oldest, "failed"), "XX", 1, "t00000")
    stats = await store.stats(opened)
    assert stats is not None and (stats.failed, stats.counters["failed_total"]) == (1, 2)
    await store.tick(opened)
    places = await inside.places(store, opened)
    left = [await inside.call(store, "ZRANGE", inside.keys.key(place, "failed"), 0, -1) for place in places]
    assert [task_id for ids in left for task_id in ids] == [b"t00001"]


@pytest.mark.one_place("the size of one step")
async def test_due_retries_come_back_in_bounded_steps(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(250))
    leased = (await store.claim(opened, "w1", [MODEL], 250)).tasks
    await store.settle(opened, [settle(each, Verdict.RETRY, delay=100, error=error()) for each in leased])
    await inside.make_retries_due(store, opened)
    stats = await store.stats(opened)
    assert stats is not None and (stats.pending, stats.scheduled, stats.next_due_at) == (100, 150, stats.now)
    await store.tick(opened)
    stats = await store.stats(opened)
    assert stats is not None and (stats.pending, stats.scheduled) == (250, 0)
    await inside.assert_consistent(store, opened)
    assert await claim_ids(store, opened, 250) == [each.id for each in tasks(250)]


async def test_a_retry_that_comes_back_after_the_ttl_expires(store: Store, opened: QueueKey) -> None:
    await store.put_policy(opened, policy(ttl_seconds=10))
    await store.submit(opened, tasks(1))
    await store.settle(opened, [settle(await claim_one(store, opened), Verdict.RETRY, delay=60, error=error())])
    await inside.make_older(store, opened, "t00000", 11)
    await inside.make_retries_due(store, opened)
    await store.tick(opened)
    (view,) = await store.get(opened, ["t00000"])
    assert view is not None and view.state is TaskState.EXPIRED
    await inside.assert_consistent(store, opened)
