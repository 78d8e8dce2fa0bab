"""Heartbeats keep leases, silence loses them, and cancelling reaches tasks wherever they are."""

import pytest

from taskfleet.core.settlement import Verdict, WorkerReport
from taskfleet.core.task import QueueKey, TaskState, TaskView
from taskfleet.store import Store, keys
from tests.store import inside
from tests.store.given import MODEL, claim_ids, claim_one, error, policy, report, settle, tasks
from tests.support.waiting import eventually

pytestmark = pytest.mark.spread


async def test_a_heartbeat_renews_every_lease_it_names(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(3))
    claim = await store.claim(opened, "w1", [MODEL], 3)
    await inside.end_leases(store, opened)
    leases = {leased.id: leased.fence for leased in claim.tasks[:2]}
    beat = await store.heartbeat(opened, report(), leases)
    assert (beat.lost, beat.cancelled) == (frozenset(), frozenset())
    assert await claim_ids(store, opened, 3) == [claim.tasks[2].id], "only the lease that was not named has ended"


async def test_a_heartbeat_says_which_leases_are_lost(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(3))
    first = (await store.claim(opened, "w1", [MODEL], 3)).tasks
    await inside.end_leases(store, opened, first[0].id)
    again = await claim_one(store, opened, "w2")
    await store.settle(opened, [settle(first[1])])
    leases = {leased.id: leased.fence for leased in first} | {"nobody": 1}
    beat = await store.heartbeat(opened, report(), leases)
    assert beat.lost == {first[0].id, first[1].id, "nobody"}
    assert (await store.heartbeat(opened, report("w2"), {again.id: again.fence})).lost == frozenset()
    await inside.assert_consistent(store, opened)


@pytest.mark.one_place("the order over a whole queue")
async def test_a_silent_workers_task_comes_back_in_front_with_its_attempt_burnt(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(5))
    await store.claim(opened, "dead", [MODEL], 3)
    await inside.end_leases(store, opened)
    claim = await store.claim(opened, "w2", [MODEL], 4)
    assert [(leased.id, leased.attempt) for leased in claim.tasks] == [
        ("t00000", 2),
        ("t00001", 2),
        ("t00002", 2),
        ("t00003", 1),
    ]
    stats = await store.stats(opened)
    assert stats is not None
    assert (stats.counters["lease_expired"], stats.counters["retries.worker_lost"]) == (3, 3)


async def lose_worker(store: Store, queue: QueueKey) -> None:
    await claim_one(store, queue, "unlucky")
    await inside.end_leases(store, queue)
    await store.tick(queue)


async def test_a_task_that_loses_its_worker_at_its_last_attempt_fails_as_worker_lost(
    store: Store, opened: QueueKey
) -> None:
    await store.put_policy(opened, policy(max_attempts=2))
    await store.submit(opened, tasks(1), batch="b")
    await store.settle(opened, [settle(await claim_one(store, opened), Verdict.RETRY, error=error())])
    await lose_worker(store, opened)
    (view,) = await store.get(opened, ["t00000"])
    assert view is not None and (view.state, view.attempts, view.worker) == (TaskState.FAILED, 2, "unlucky")
    assert view.error is not None and view.error.code == "worker_lost"
    stats, batch = await store.stats(opened), await store.batch(opened, "b")
    assert stats is not None and (stats.failed, stats.counters["lease_expired"]) == (1, 1)
    assert batch is not None and (batch.failed, batch.open) == (1, 0)
    await inside.assert_consistent(store, opened)


async def test_a_task_whose_worker_dies_twice_is_set_aside_as_poison(store: Store, opened: QueueKey) -> None:
    await store.put_policy(opened, policy(max_attempts=50))
    await store.submit(opened, tasks(1), batch="b")
    await lose_worker(store, opened)
    await store.settle(opened, [settle(await claim_one(store, opened), Verdict.RETRY, error=error())])
    await lose_worker(store, opened)
    (view,) = await store.get(opened, ["t00000"])
    assert view is not None and (view.state, view.attempts, view.worker) == (TaskState.FAILED, 3, "unlucky")
    assert view.error is not None and view.error.code == "poison"
    assert view.error.message.startswith("its worker died twice while it ran")
    await inside.assert_consistent(store, opened)
    await store.redrive(opened, ["t00000"])
    await lose_worker(store, opened)
    (view,) = await store.get(opened, ["t00000"])
    assert view is not None and view.state is TaskState.PENDING, "a redrive forgets the deaths too"


@pytest.mark.parametrize("claimed_by_another", [False, True])
async def test_a_lease_lost_to_an_outage_of_the_store_is_no_death(
    store: Store, opened: QueueKey, claimed_by_another: bool
) -> None:
    """All leases end while the store is away; the workers, who live, name them at their next heartbeat."""
    await store.put_policy(opened, policy(max_attempts=50))
    await store.submit(opened, tasks(1))
    for _ in range(4):
        leased = await claim_one(store, opened, "alive")
        await inside.end_leases(store, opened)
        await store.tick(opened)
        other = await claim_one(store, opened, "other") if claimed_by_another else None
        assert (await store.heartbeat(opened, report("alive"), {leased.id: leased.fence})).lost == {leased.id}
        if other is not None:
            await store.settle(opened, [settle(other, Verdict.RELEASE)])
    (view,) = await store.get(opened, ["t00000"])
    assert view is not None and view.state is TaskState.PENDING
    for _ in range(2):
        await lose_worker(store, opened)
    (view,) = await store.get(opened, ["t00000"])
    assert view is not None and view.error is not None and view.error.code == "poison"


async def let_it_end(store: Store, queue: QueueKey, *, beating: WorkerReport | None = None) -> TaskView:
    """Until the lease of the one task has ended by itself; meanwhile a worker beats, or none does."""

    async def has_ended() -> TaskView | None:
        if beating is not None:
            await store.heartbeat(queue, beating, {})
        await store.tick(queue)
        (view,) = await store.get(queue, ["t00000"])
        assert view is not None
        return view if view.state is not TaskState.RUNNING else None

    view = await eventually(has_ended, "the lease to end")
    assert view is not None
    return view


async def test_a_lease_that_its_worker_never_knew_of_is_no_death_and_no_attempt(store: Store, opened: QueueKey) -> None:
    """The answers to its claims are lost on the way, and it beats on."""
    await store.put_policy(opened, policy(max_attempts=1, lease_seconds=0.6))
    await store.submit(opened, tasks(1))
    await store.heartbeat(opened, report("alive"), {})
    await inside.a_moment(store)
    for _ in range(3):
        await claim_one(store, opened, "alive")
        view = await let_it_end(store, opened, beating=report("alive"))
    assert (view.state, view.attempts) == (TaskState.PENDING, 0)
    assert [each.error and each.error.code for each in view.history] == ["claim_lost"] * 3
    await inside.assert_consistent(store, opened)


async def test_a_worker_that_was_cut_off_and_is_heard_again_did_not_die(store: Store, opened: QueueKey) -> None:
    """It cannot name the leases of answers that it never had; that it lives is enough."""
    await store.put_policy(opened, policy(max_attempts=50, lease_seconds=0.05))
    await store.submit(opened, tasks(1))
    await store.heartbeat(opened, report("cut-off"), {})
    await inside.a_moment(store)
    for _ in range(4):
        await claim_one(store, opened, "cut-off")
        view = await let_it_end(store, opened)
        await store.heartbeat(opened, report("cut-off"), {})
    assert view.state is TaskState.PENDING


async def test_a_process_that_comes_back_under_its_name_is_another_one(store: Store, opened: QueueKey) -> None:
    """As when a container is restarted in its pod: what killed it twice is poison."""
    await store.put_policy(opened, policy(max_attempts=50, lease_seconds=0.1))
    await store.submit(opened, tasks(1))
    for process in ("first", "second"):
        await store.heartbeat(opened, report("pod", process=process), {})
        await inside.a_moment(store)
        await claim_one(store, opened, "pod")
        view = await let_it_end(store, opened, beating=report("pod", process=f"after the {process}"))
    assert view.error is not None and view.error.code == "poison"


async def test_handing_back_never_uses_the_attempts_up(store: Store, opened: QueueKey) -> None:
    await store.put_policy(opened, policy(max_attempts=1))
    await store.submit(opened, tasks(1))
    for _ in range(5):
        leased = await claim_one(store, opened)
        assert leased.attempt == 1
        await store.settle(opened, [settle(leased, Verdict.RELEASE)])


@pytest.mark.one_place("the size of one step")
async def test_reaping_is_bounded_and_goes_on(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(250))
    assert len(await claim_ids(store, opened, 250)) == 250
    await inside.end_leases(store, opened)
    stats = await store.stats(opened)
    assert stats is not None and (stats.pending, stats.running, stats.next_due_at) == (100, 150, stats.now)
    await store.tick(opened)
    stats = await store.stats(opened)
    assert stats is not None and (stats.pending, stats.running) == (250, 0)
    assert await claim_ids(store, opened, 250) == [each.id for each in tasks(250)], "in the order of submission"


async def test_a_running_task_is_cancelled_through_its_worker(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1), batch="b")
    leased = await claim_one(store, opened)
    assert await store.cancel(opened, [leased.id]) == {leased.id: "cancelling"}
    beat = await store.heartbeat(opened, report(), {leased.id: leased.fence})
    assert (beat.cancelled, beat.lost) == ({leased.id}, frozenset())
    assert await store.settle(opened, [settle(leased, Verdict.CANCEL)]) == [True]
    (view,) = await store.get(opened, [leased.id])
    assert view is not None and view.state is TaskState.CANCELLED
    assert await store.cancel(opened, [leased.id]) == {leased.id: "finished"}
    await inside.assert_consistent(store, opened)


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.RELEASE])
@pytest.mark.parametrize("delay", [0, 60])
async def test_a_task_being_cancelled_does_not_go_back_to_the_queue(
    store: Store, opened: QueueKey, verdict: Verdict, delay: float
) -> None:
    await store.submit(opened, tasks(1))
    leased = await claim_one(store, opened)
    await store.cancel(opened, [leased.id])
    await store.settle(opened, [settle(leased, verdict, delay=delay, error=error())])
    (view,) = await store.get(opened, [leased.id])
    assert view is not None and view.state is TaskState.CANCELLED
    await inside.assert_consistent(store, opened)


async def test_a_task_being_cancelled_whose_worker_dies_is_cancelled(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    leased = await claim_one(store, opened)
    await store.cancel(opened, [leased.id])
    await inside.end_leases(store, opened)
    await store.tick(opened)
    (view,) = await store.get(opened, [leased.id])
    assert view is not None and view.state is TaskState.CANCELLED
    await inside.assert_consistent(store, opened)


async def test_a_result_that_comes_before_the_cancellation_counts(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    leased = await claim_one(store, opened)
    await store.cancel(opened, [leased.id])
    assert await store.settle(opened, [settle(leased, output="in time")]) == [True]
    (view,) = await store.get(opened, [leased.id])
    assert view is not None and (view.state, view.output) == (TaskState.COMPLETED, "in time")


async def test_cancelling_a_task_that_waits_for_its_retry_ends_it(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1), batch="b")
    leased = await claim_one(store, opened)
    await store.settle(opened, [settle(leased, Verdict.RETRY, delay=60, error=error())])
    assert await store.cancel(opened, [leased.id, leased.id, "nobody"]) == {
        leased.id: "finished",
        "nobody": "not_found",
    }
    await inside.assert_consistent(store, opened)
    stats = await store.stats(opened)
    assert stats is not None and (stats.scheduled, stats.cancelled, stats.next_due_at) == (0, 1, None)


async def test_workers_are_known_while_they_are_heard(store: Store, opened: QueueKey) -> None:
    await store.heartbeat(opened, report("w2", inflight=3, seconds_per_task=0.5, trouble="slow"), {})
    await store.heartbeat(opened, report("w1", draining=True), {})
    await store.heartbeat(opened, report("w3"), {})
    await store.retire(opened, "w3")
    assert await store.workers(opened) == [
        report("w1", draining=True),
        report("w2", inflight=3, seconds_per_task=0.5, trouble="slow"),
    ]
    first = (await inside.places(store, opened))[0]
    await inside.call(store, "ZADD", keys.key(first, "seen"), 1, "w2")
    assert [worker.worker for worker in await store.workers(opened)] == ["w1"]
    await store.tick(opened)
    assert await inside.call(store, "HKEYS", keys.key(first, "workers")) == [b"w1"]
