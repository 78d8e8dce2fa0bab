"""Certain tasks are claimed by their ids: by a gateway that runs them itself."""

import asyncio

import pytest

from taskfleet.core.settlement import Verdict
from taskfleet.core.task import QueueKey, TaskState
from taskfleet.store import Store
from tests.store.given import MODEL, claim_ids, claim_one, settle, task, tasks

pytestmark = pytest.mark.spread


async def test_what_is_taken_is_leased_whatever_waits_before_it(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(5))
    taken = await store.take(opened, "gateway", ["t00003", "t00001", "nowhere"])
    assert sorted(leased.id for leased in taken.tasks) == ["t00001", "t00003"]
    assert [leased.fence for leased in taken.tasks] == [1, 1]
    assert taken.waiting == frozenset()
    assert sorted(await claim_ids(store, opened, 10)) == ["t00000", "t00002", "t00004"]
    assert await store.settle(opened, [settle(leased) for leased in taken.tasks]) == [True, True]
    stats = await store.stats(opened)
    assert stats is not None
    assert (stats.completed, stats.pending, stats.running) == (2, 0, 3)


async def test_a_task_is_taken_ahead_of_its_time_and_has_not_waited_for_it(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("t1", delay=60.0)])
    (leased,) = (await store.take(opened, "gateway", ["t1"])).tasks
    assert leased.enqueued_at <= leased.claimed_at
    stats = await store.stats(opened)
    assert stats is not None
    assert (stats.scheduled, stats.running) == (0, 1)
    await store.settle(opened, [settle(leased)])
    (view,) = await store.get(opened, ["t1"])
    assert view is not None
    assert (view.state, view.worker) == (TaskState.COMPLETED, "gateway")
    assert view.queue_seconds is not None
    assert 0 <= view.queue_seconds < 60


async def test_of_two_who_want_a_task_one_gets_it(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(20))
    ids = [each.id for each in tasks(20)]
    both = await asyncio.gather(
        store.take(opened, "one", ids), store.take(opened, "two", ids), store.claim(opened, "three", [MODEL], 20)
    )
    got = [leased.id for each in both for leased in each.tasks]
    got += await claim_ids(store, opened, 20)
    assert sorted(got) == ids


async def test_a_session_keeps_its_order(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("t1", session="s"), task("t2", session="s")])
    taken = await store.take(opened, "gateway", ["t1", "t2"])
    assert [leased.id for leased in taken.tasks] == ["t1"]
    assert taken.waiting == {"t2"}
    await store.settle(opened, [settle(taken.tasks[0])])
    assert [leased.id for leased in (await store.take(opened, "gateway", ["t2"])).tasks] == ["t2"]


async def test_nothing_is_taken_while_the_queue_is_paused(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    await store.pause(opened)
    taken = await store.take(opened, "gateway", ["t00000"])
    assert (taken.tasks, taken.waiting, taken.stopped) == ((), {"t00000"}, True)


async def test_what_has_ended_or_runs_is_not_taken(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(2))
    leased = await claim_one(store, opened)
    await store.settle(opened, [settle(leased, Verdict.CANCEL)])
    await claim_one(store, opened)
    taken = await store.take(opened, "gateway", ["t00000", "t00001"])
    assert (taken.tasks, taken.waiting) == ((), frozenset())


async def test_what_is_given_back_is_claimed_once(store: Store, opened: QueueKey) -> None:
    """Its id still stands where it stood before it was taken."""
    await store.submit(opened, tasks(3))
    (leased,) = (await store.take(opened, "gateway", ["t00001"])).tasks
    await store.settle(opened, [settle(leased, Verdict.RELEASE)])
    assert sorted(await claim_ids(store, opened, 10)) == ["t00000", "t00001", "t00002"]


async def test_a_queue_that_does_not_exist_gives_nothing(store: Store, queue: QueueKey) -> None:
    taken = await store.take(queue, "gateway", ["t1"])
    assert (taken.tasks, taken.stopped, taken.policy_version) == ((), True, 0)
