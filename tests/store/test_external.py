"""What running tasks by hand needs: leases of their own length, a look without a claim, and the fence."""

import pytest

from taskfleet.core.task import Priority, QueueKey, TaskState
from taskfleet.store import Store, keys
from tests.store import inside
from tests.store.given import BODY, MODEL, claim_one, policy, report, settle, task, tasks

pytestmark = pytest.mark.spread


async def lease_seconds(store: Store, queue: QueueKey, name: str) -> float:
    ends = (
        float(await inside.call(store, "ZSCORE", keys.key(await inside.place_of(store, queue, name), "leases"), name))
        / 1000
    )
    stats = await store.stats(queue)
    assert stats is not None
    return ends - stats.now


async def test_a_heartbeat_may_renew_for_longer_than_the_queue_does(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    leased = await claim_one(store, opened)
    held = {leased.id: leased.fence}
    await store.heartbeat(opened, report(), held, lease_seconds=1800)
    assert 1700 < await lease_seconds(store, opened, leased.id) <= 1800
    await store.heartbeat(opened, report(), held)
    assert 50 < await lease_seconds(store, opened, leased.id) <= 60


async def test_a_task_whose_lease_ended_twice_is_poison_but_not_where_no_worker_runs_it(
    store: Store, opened: QueueKey
) -> None:
    """An agent that goes away did not die of its task."""
    await store.put_policy(opened, policy(external=True, max_attempts=5))
    await store.submit(opened, tasks(1))
    for attempt in range(1, 6):
        assert (await claim_one(store, opened)).attempt == attempt
        await inside.end_leases(store, opened)
    await store.tick(opened)
    (view,) = await store.get(opened, ["t00000"])
    assert view is not None and view.error is not None
    assert (view.state, view.error.code) == (TaskState.FAILED, "worker_lost")


@pytest.mark.one_place("the order over a whole queue")
async def test_waiting_tasks_are_seen_by_priority_and_stay_as_they_are(store: Store, opened: QueueKey) -> None:
    body = BODY.replace(b"hello", b"look at me")
    await store.submit(opened, [*tasks(45), task("other", model="large", body=body)])
    await store.submit(opened, [task("first", priority=Priority.CRITICAL), task("later", delay=600)])
    await store.cancel(opened, ["t00003"])
    seen = [waiting async for waiting in store.waiting(opened)]
    assert seen[0].id == "first"
    assert sorted(waiting.id for waiting in seen) == sorted(
        ["first", "other", *(f"t{n:05d}" for n in range(45) if n != 3)]
    )
    own = [waiting.id for waiting in seen if waiting.model == MODEL and waiting.priority is Priority.NORMAL]
    assert own == sorted(own)
    (other,) = [waiting for waiting in seen if waiting.id == "other"]
    assert (other.body, other.attempt) == (body, 1)
    leased = await claim_one(store, opened)
    assert (leased.id, leased.fence, leased.attempt) == ("first", 1, 1)
    await inside.assert_consistent(store, opened)


@pytest.mark.one_place("the order over a whole queue")
async def test_what_is_too_old_or_claimed_is_not_seen_as_waiting(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [*tasks(3), task("late", deadline=9e9)])
    await claim_one(store, opened)
    await inside.make_older(store, opened, "t00001", 10_000)
    await inside.let_deadline_pass(store, opened, "late")
    assert [waiting.id async for waiting in store.waiting(opened)] == ["t00002"]


async def test_a_queue_without_tasks_or_that_does_not_exist_has_nothing_that_waits(
    store: Store, opened: QueueKey
) -> None:
    assert [waiting async for waiting in store.waiting(opened)] == []
    assert [waiting async for waiting in store.waiting(QueueKey("test", "nobody"))] == []


async def test_the_newest_lease_of_a_task_can_be_ended_by_whoever_looks_it_up(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    gone = await claim_one(store, opened, "gone")
    await inside.end_leases(store, opened)
    await claim_one(store, opened, "now")
    current = await store.current_lease(opened, "t00000")
    assert current is not None
    assert (current.task.worker, current.fence) == ("now", gone.fence + 1)
    assert 0 <= current.age < 10
    ending = settle(gone, output="by hand")
    assert await store.settle(opened, [ending]) == [False]
    assert await store.current_lease(opened, "nobody") is None
