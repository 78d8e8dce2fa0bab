"""Tasks that wait for their time, and tasks that must not be begun after theirs."""

import time

import pytest

from taskfleet.core.settlement import Verdict
from taskfleet.core.task import QueueKey, TaskState
from taskfleet.store import Store, lua
from tests.store import inside
from tests.store.given import MODEL, claim_ids, claim_one, error, settle, task, tasks
from tests.store.test_submit import stage

pytestmark = pytest.mark.spread

FAR = 9e9


async def assert_missed(store: Store, queue: QueueKey, name: str) -> None:
    (view,) = await store.get(queue, [name])
    assert view is not None and view.state is TaskState.EXPIRED
    assert view.error is not None and view.error.code == "deadline"
    await inside.assert_consistent(store, queue)


@pytest.mark.one_place("the order over a whole queue")
async def test_a_delayed_task_waits_for_its_time_behind_what_came_meanwhile(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("later", delay=30), task("moment", not_before=time.time() + 40), task("now")])
    stats, (view, *_) = await store.stats(opened), await store.get(opened, ["later"])
    assert stats is not None and (stats.pending, stats.scheduled) == (1, 2)
    assert stats.next_due_at == pytest.approx(stats.now + 30, abs=5)
    assert view is not None and view.state is TaskState.PENDING
    assert view.not_before == view.enqueued_at == pytest.approx(stats.now + 30, abs=5)
    await inside.assert_consistent(store, opened)
    await inside.make_retries_due(store, opened)
    assert await claim_ids(store, opened, 5) == ["now", "later", "moment"]


async def test_the_time_to_live_begins_when_the_delay_ends(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("t", delay=5000)])  # the queue's ttl is 3600 s
    await inside.make_older(store, opened, "t", 5100)
    await inside.make_retries_due(store, opened)
    leased = await claim_one(store, opened)
    assert leased.claimed_at - leased.enqueued_at == pytest.approx(100, abs=5), "it waited 100 s, not the delay"


async def test_a_moment_that_has_passed_is_no_delay(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("t", not_before=1.0)])
    assert await claim_ids(store, opened) == ["t"]


@pytest.mark.one_place("it stages by hand")
async def test_delayed_tasks_of_a_stage_are_seen_by_nobody_before_its_commit(store: Store, opened: QueueKey) -> None:
    number = await stage(store, opened, task("later", delay=30, deadline=FAR), *tasks(2))
    stats = await store.stats(opened)
    assert stats is not None and (stats.pending, stats.scheduled, stats.next_due_at) == (0, 0, None)
    assert await store.get(opened, ["later"]) == [None]
    assert await store._connection.run(lua.COMMIT, opened, number) == [b"ok"]
    stats = await store.stats(opened)
    assert stats is not None and (stats.pending, stats.scheduled) == (2, 1)
    await inside.assert_consistent(store, opened)
    assert not [name for name in await inside.key_names(store, opened) if name.startswith("stage")]


@pytest.mark.one_place("it stages by hand")
async def test_a_stage_that_is_given_up_leaves_no_time_behind(store: Store, opened: QueueKey) -> None:
    number = await stage(store, opened, task("later", delay=30, deadline=FAR))
    while not await store._connection.run(lua.UNSTAGE, opened, number):
        pass
    assert await inside.key_names(store, opened) <= {"policy", "lanes", "stats", "leases", "holders"}


async def test_many_delayed_tasks_come_in_through_a_stage(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(2500, delay=30, deadline=FAR))
    stats = await store.stats(opened)
    assert stats is not None and (stats.pending, stats.scheduled) == (0, 2500)
    await inside.assert_consistent(store, opened)


@pytest.mark.one_place("the order over a whole queue")
async def test_a_task_past_its_deadline_expires_wherever_it_stands_and_never_runs(
    store: Store, opened: QueueKey
) -> None:
    await store.submit(opened, [task("first"), task("middle", deadline=FAR), task("last")])
    await store.submit(opened, [task("delayed", delay=60, deadline=FAR)])
    for name in ("middle", "delayed"):
        await inside.let_deadline_pass(store, opened, name)
    stats = await store.stats(opened)
    assert stats is not None and (stats.pending, stats.scheduled, stats.expired) == (2, 0, 2)
    assert await claim_ids(store, opened, 5) == ["first", "last"]
    for name in ("middle", "delayed"):
        await assert_missed(store, opened, name)


@pytest.mark.parametrize(("verdict", "delay"), [(Verdict.RETRY, 0), (Verdict.RETRY, 60), (Verdict.RELEASE, 0)])
async def test_a_task_past_its_deadline_does_not_come_back(
    store: Store, opened: QueueKey, verdict: Verdict, delay: float
) -> None:
    await store.submit(opened, [task("t", deadline=FAR)])
    leased = await claim_one(store, opened)
    await inside.let_deadline_pass(store, opened, "t")
    await store.settle(opened, [settle(leased, verdict, delay=delay, error=error())])
    await assert_missed(store, opened, "t")


async def test_a_task_past_its_deadline_expires_while_it_waits_for_its_retry(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("t", deadline=FAR)])
    await store.settle(opened, [settle(await claim_one(store, opened), Verdict.RETRY, delay=60, error=error())])
    await inside.let_deadline_pass(store, opened, "t")
    await store.tick(opened)
    await assert_missed(store, opened, "t")


async def test_a_task_past_its_deadline_whose_worker_dies_expires(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("t", deadline=FAR)])
    await claim_one(store, opened)
    await inside.let_deadline_pass(store, opened, "t")
    await inside.end_leases(store, opened)
    await store.tick(opened)
    await assert_missed(store, opened, "t")


async def test_a_result_that_comes_after_the_deadline_counts(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("t", deadline=FAR)])
    leased = await claim_one(store, opened)
    await inside.let_deadline_pass(store, opened, "t")
    await store.tick(opened)
    assert await store.settle(opened, [settle(leased)]) == [True]
    (view,) = await store.get(opened, ["t"])
    assert view is not None and (view.state, view.deadline) == (TaskState.COMPLETED, 0.001)


async def test_an_idle_worker_looks_again_when_a_deadline_passes(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("t", model="other", deadline=time.time() + 20)])
    due = (await store.claim(opened, "w1", [MODEL], 1)).next_due_in
    assert due is not None and 15 < due <= 20


async def test_a_redriven_task_keeps_a_deadline_to_come_and_loses_one_that_passed(
    store: Store, opened: QueueKey
) -> None:
    await store.submit(opened, [task("kept", deadline=FAR), task("lost", deadline=FAR)])
    for leased in (await store.claim(opened, "w1", [MODEL], 2)).tasks:
        await store.settle(opened, [settle(leased, Verdict.FAIL, error=error())])
    await inside.let_deadline_pass(store, opened, "lost")
    await store.redrive(opened, ["kept", "lost"])
    await inside.assert_consistent(store, opened)
    views = await store.get(opened, ["kept", "lost"])
    assert [view and view.deadline for view in views] == [FAR, None]
    assert await claim_ids(store, opened, 2) == ["kept", "lost"]
