"""Who gets which task: priority, then order of submission; nobody starves; nothing that should not run is given out."""

from collections import Counter

import pytest

from taskfleet.core.errors import InputError
from taskfleet.core.settlement import Verdict
from taskfleet.core.task import Priority, QueueKey, TaskState
from taskfleet.store import Store
from tests.store import inside
from tests.store.given import MODEL, claim_ids, claim_one, policy, settle, task, tasks

pytestmark = pytest.mark.spread


@pytest.mark.one_place("what one place knows of what is due next")
async def test_a_leased_task_is_what_was_submitted(store: Store, opened: QueueKey) -> None:
    new = task("t1", priority=Priority.HIGH)
    await store.submit(opened, [new])
    claim = await store.claim(opened, "w1", [MODEL], 1)
    (leased,) = claim.tasks
    assert (leased.id, leased.model, leased.body, leased.priority) == (new.id, new.model, new.body, new.priority)
    assert (leased.fence, leased.attempt) == (1, 1)
    assert leased.enqueued_at <= leased.claimed_at
    assert claim.next_due_in == pytest.approx(60.0), "the lease just made is what is due next"
    (view,) = await store.get(opened, ["t1"])
    assert view is not None and (view.state, view.worker, view.attempts) == (TaskState.RUNNING, "w1", 1)


@pytest.mark.one_place("the order over a whole queue")
async def test_priorities_are_strict_and_order_inside_one_is_that_of_submission(store: Store, opened: QueueKey) -> None:
    for priority in (Priority.LOW, Priority.NORMAL, Priority.CRITICAL, Priority.HIGH, Priority.NORMAL):
        count = len(await inside.key_names(store, opened))
        await store.submit(opened, tasks(2, f"{priority.label}-{count:03d}-", priority=priority))
    served = [name.split("-")[0] for name in await claim_ids(store, opened, 10)]
    assert served == ["critical"] * 2 + ["high"] * 2 + ["normal"] * 4 + ["low"] * 2


@pytest.mark.one_place("the order over a whole queue")
async def test_first_in_first_out_over_many_claims(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(50))
    served = [(await claim_one(store, opened)).id for _ in range(10)]
    served += await claim_ids(store, opened, 23)
    served += await claim_ids(store, opened, 100)
    assert served == [each.id for each in tasks(50)]


async def test_only_requested_models_are_given(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("a", model="one"), task("b", model="two"), task("c", model="two:latest")])
    assert await claim_ids(store, opened, 9, ("two",)) == ["b"]
    assert await claim_ids(store, opened, 9, ("none", "two:latest")) == ["c"]
    assert await claim_ids(store, opened, 9, ()) == []


@pytest.mark.one_place("the order over a whole queue")
async def test_no_lane_of_a_priority_waits_behind_another(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [*tasks(300, "a", model="a"), *tasks(300, "b", model="b"), *tasks(300, "c", model="c")])
    shared = Counter(name[0] for name in await claim_ids(store, opened, 30, ("a", "b", "c")))
    assert shared == {"a": 10, "b": 10, "c": 10}
    single = Counter()
    for _ in range(9):
        single.update(name[0] for name in await claim_ids(store, opened, 1, ("a", "b", "c")))
    assert single == {"a": 3, "b": 3, "c": 3}, "one at a time it goes round"


async def test_a_lane_that_runs_dry_leaves_its_share_to_the_others(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [*tasks(2, "a", model="a"), *tasks(30, "b", model="b")])
    assert Counter(name[0] for name in await claim_ids(store, opened, 20, ("a", "b"))) == {"a": 2, "b": 18}


async def test_two_workers_never_get_the_same_task(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(40))
    first = await store.claim(opened, "w1", [MODEL], 25)
    second = await store.claim(opened, "w2", [MODEL], 25)
    assert len({leased.id for leased in (*first.tasks, *second.tasks)}) == 40
    assert (len(first.tasks), len(second.tasks)) == (25, 15)


@pytest.mark.one_place("the order over a whole queue")
async def test_cancelled_tasks_are_skipped_and_the_counts_know_at_once(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(10))
    await store.cancel(opened, [f"t0000{n}" for n in (0, 1, 5)])
    stats = await store.stats(opened)
    assert stats is not None and (stats.pending, stats.cancelled, stats.backlog) == (7, 3, {MODEL: 7})
    assert await claim_ids(store, opened, 10) == [f"t0000{n}" for n in (2, 3, 4, 6, 7, 8, 9)]
    await inside.assert_consistent(store, opened)


@pytest.mark.one_place("the size of one step")
async def test_a_thousand_cancelled_tasks_in_front_hold_a_claim_up_in_bounded_steps(
    store: Store, opened: QueueKey
) -> None:
    await store.submit(opened, tasks(2600))
    await store.cancel(opened, [each.id for each in tasks(2599)])
    claim = await store.claim(opened, "w1", [MODEL], 1)
    assert not claim.tasks and claim.next_due_in == 0, "there is more to look through: come back at once"
    for _ in range(3):
        claim = await store.claim(opened, "w1", [MODEL], 1)
        if claim.tasks:
            break
    assert [leased.id for leased in claim.tasks] == ["t02599"]


async def test_a_lane_of_nothing_but_cancelled_tasks_takes_no_memory(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(20))
    await store.cancel(opened, [each.id for each in tasks(20)])
    assert not any(name.startswith("lane:") for name in await inside.key_names(store, opened))


async def test_an_id_used_again_after_its_retention_is_served_from_its_own_lane_once(
    store: Store, opened: QueueKey
) -> None:
    """The lane still holds the cancelled one's id when the new task of that id comes."""
    await store.submit(opened, [task("again", model="a"), task("behind", model="a")])
    await store.cancel(opened, ["again"])
    await inside.forget(store, opened, "again")
    await store.submit(opened, [task("again", model="b")])
    assert await claim_ids(store, opened, 5, ("a",)) == ["behind"]
    assert await claim_ids(store, opened, 5, ("a", "b")) == ["again"]
    assert await claim_ids(store, opened, 5, ("a", "b")) == []


@pytest.mark.parametrize("seconds_ago", [0, 3601])
async def test_an_id_used_again_in_its_own_lane_is_served_or_expires_once(
    store: Store, opened: QueueKey, seconds_ago: float
) -> None:
    """The lane holds the id twice; a count too low would hide the last task of the lane for good."""
    await store.submit(opened, [task("behind"), task("again")])
    await store.cancel(opened, ["again"])
    await inside.forget(store, opened, "again")
    await store.submit(opened, [task("again"), task("last")])
    await inside.make_older(store, opened, "again", seconds_ago)
    found = await claim_ids(store, opened, 3)
    found += await claim_ids(store, opened, 3)
    assert found == (["behind", "last"] if seconds_ago else ["behind", "again", "last"])
    stats = await store.stats(opened)
    assert stats is not None and (stats.pending, stats.depth["normal"]) == (0, 0)
    census = await inside.take_census(store, opened)
    assert census.lane_counts == {"*": 0, f"{MODEL}:2": 0}


@pytest.mark.one_place("the order over a whole queue")
async def test_what_waited_longer_than_the_ttl_expires_in_place_of_running(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(3), batch="b")
    await inside.make_older(store, opened, "t00000", 3601)
    await inside.make_older(store, opened, "t00001", 3599)
    assert await claim_ids(store, opened, 3) == ["t00001", "t00002"]
    (view,) = await store.get(opened, ["t00000"])
    assert view is not None and view.state is TaskState.EXPIRED
    assert view.error is not None and view.error.code == "expired" and "taskTTL" in view.error.message
    stats, batch = await store.stats(opened), await store.batch(opened, "b")
    assert stats is not None and stats.expired == 1
    assert batch is not None and (batch.expired, batch.open) == (1, 2)
    await inside.assert_consistent(store, opened)


async def test_an_idle_worker_learns_when_to_look_again(store: Store, opened: QueueKey) -> None:
    assert (await store.claim(opened, "w1", [MODEL], 1)).next_due_in is None
    await store.submit(opened, tasks(1))
    leased = await claim_one(store, opened)
    await store.settle(opened, [settle(leased, Verdict.RETRY, delay=7)])
    due = (await store.claim(opened, "w1", [MODEL], 1)).next_due_in
    assert due is not None and 5 < due <= 7


async def test_no_store_of_any_number_of_models_is_too_much(store: Store, opened: QueueKey) -> None:
    models = [f"model-{n}" for n in range(256)]
    await store.submit(opened, [task("x", model="model-255")])
    assert await claim_ids(store, opened, 1, tuple(models)) == ["x"]


@pytest.mark.parametrize("worker", ["", "w" * 256])
async def test_a_workers_name_that_cannot_be_kept_is_refused(store: Store, opened: QueueKey, worker: str) -> None:
    with pytest.raises(InputError, match="worker: a name has 1 to 255 bytes"):
        await store.claim(opened, worker, [MODEL], 1)


async def test_the_longest_name_of_a_worker_is_kept(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    await store.settle(opened, [settle(await claim_one(store, opened, "w" * 255))])
    (view,) = await store.get(opened, ["t00000"])
    assert view is not None and view.worker == "w" * 255


async def test_a_claim_of_a_thousand_is_one_claim(store: Store, opened: QueueKey) -> None:
    await store.put_policy(opened, policy(lease_seconds=30))
    await store.submit(opened, tasks(1000))
    assert len(await claim_ids(store, opened, 1000)) == 1000
    await inside.assert_consistent(store, opened)
