"""Dead letters: looked through, brought back as they were submitted, or removed for good."""

import pytest

from taskfleet.core.errors import NotFound, QueueClosed, QueueFull
from taskfleet.core.settlement import TenantShare, Verdict
from taskfleet.core.task import NewTask, QueueKey, TaskState
from taskfleet.store import Store, keys
from tests.store import inside
from tests.store.given import BODY, MODEL, claim_ids, claim_one, error, policy, settle, task, tasks

pytestmark = pytest.mark.spread


async def fail(store: Store, queue: QueueKey, new: list[NewTask], *, batch: str | None = None) -> list[str]:
    """Submit them and let them fail, in order."""
    await store.submit(queue, new, batch=batch)
    for leased in (await store.claim(queue, "w1", [MODEL], len(new))).tasks:
        await store.settle(queue, [settle(leased, Verdict.FAIL, error=error())])
    return [each.id for each in new]


async def listed(store: Store, queue: QueueKey) -> list[str]:
    return [letter.task.id async for letter in store.dead_letters(queue)]


async def test_dead_letters_are_listed_oldest_first_with_their_error(store: Store, opened: QueueKey) -> None:
    ids = await fail(store, opened, tasks(450))
    letters = [letter async for letter in store.dead_letters(opened)]
    assert sorted(letter.task.id for letter in letters) == ids
    assert [letter.failed_at for letter in letters] == sorted(letter.failed_at for letter in letters)
    assert {letter.task.error for letter in letters} == {error()}


async def test_a_list_goes_on_behind_any_of_them_also_one_that_is_gone(store: Store, opened: QueueKey) -> None:
    await fail(store, opened, tasks(30))
    await store.submit(opened, tasks(230, "u"))
    leases = (await store.claim(opened, "w1", [MODEL], 300)).tasks
    await store.settle(opened, [settle(leased, Verdict.FAIL, error=error()) for leased in leases])  # in one moment
    whole = [letter async for letter in store.dead_letters(opened)]
    assert len(whole) == 260
    for at in (0, 29, 30, 111, 259):
        seen, behind = whole[at], [letter.task.id for letter in whole[at + 1 :]]
        place = (seen.failed_at, seen.task.id)
        assert [letter.task.id async for letter in store.dead_letters(opened, place)] == behind
        await store.purge(opened, [seen.task.id])
        assert [letter.task.id async for letter in store.dead_letters(opened, place)] == behind


async def test_a_redriven_task_runs_again_with_its_body_and_all_its_attempts(store: Store, opened: QueueKey) -> None:
    body = b'{"messages":[{"content":"the very one"}],"parameters":{},"metadata":{"row":7}}'
    await store.put_policy(opened, policy(max_attempts=1))
    await fail(store, opened, [task("t", body=body)])
    assert await store.body(opened, "t") == body
    assert await store.redrive(opened, ["t", "nobody", "t"]) == {"t": "redriven", "nobody": "not_found"}
    (view,) = await store.get(opened, ["t"])
    assert view is not None and (view.state, view.attempts, view.error) == (TaskState.PENDING, 0, None)
    leased = await claim_one(store, opened)
    assert (leased.body, leased.attempt, leased.fence) == (body, 1, 2), "a fence never comes twice"
    assert await listed(store, opened) == []
    assert await inside.call(store, "PTTL", keys.task(await inside.place_of(store, opened, "t"), "t")) == -1
    await inside.assert_consistent(store, opened)


@pytest.mark.one_place("the order over a whole queue")
async def test_a_redriven_task_stands_behind_what_waits_and_lives_as_long_as_a_new_one(
    store: Store, opened: QueueKey
) -> None:
    await fail(store, opened, [task("old")])
    await inside.make_older(store, opened, "old", 4000)
    await store.submit(opened, [task("waiting")])
    await store.redrive(opened, ["old"])
    assert await claim_ids(store, opened, 5) == ["waiting", "old"]


@pytest.mark.one_place("the record of a batch")
async def test_a_batch_is_open_again_until_its_redriven_task_ends(store: Store, opened: QueueKey) -> None:
    await fail(store, opened, tasks(2), batch="b")
    await store.redrive(opened, ["t00001"])
    counts = await store.batch(opened, "b")
    assert counts is not None and (counts.failed, counts.open) == (1, 1)
    assert await inside.call(store, "PTTL", keys.batch(opened, "b")) == -1
    await store.settle(opened, [settle(await claim_one(store, opened))])
    counts = await store.batch(opened, "b")
    assert counts is not None and (counts.completed, counts.failed, counts.open) == (1, 1, 0)
    assert await inside.call(store, "PTTL", keys.batch(opened, "b")) > 0
    await inside.assert_consistent(store, opened)


@pytest.mark.one_place("the record of a batch")
async def test_a_task_whose_batch_is_forgotten_is_redriven_alone(store: Store, opened: QueueKey) -> None:
    await fail(store, opened, tasks(1), batch="b")
    await inside.call(store, "DEL", keys.batch(opened, "b"))
    assert await store.redrive(opened, ["t00000"]) == {"t00000": "redriven"}
    assert await store.batch(opened, "b") is None


async def test_only_what_failed_is_redriven_or_purged(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(2))
    done = await claim_one(store, opened)
    await store.settle(opened, [settle(done)])
    for act in (store.redrive, store.purge):
        assert set((await act(opened, ["t00000", "t00001"])).values()) == {"not_failed"}
    assert await store.body(opened, done.id) is None
    await inside.assert_consistent(store, opened)


async def test_a_purged_task_is_gone_and_its_batch_remembers_that_it_failed(store: Store, opened: QueueKey) -> None:
    await fail(store, opened, tasks(2), batch="b")
    assert await store.purge(opened, ["t00000", "nobody"]) == {"t00000": "purged", "nobody": "not_found"}
    assert await store.get(opened, ["t00000"]) == [None]
    assert await listed(store, opened) == ["t00001"]
    counts, stats = await store.batch(opened, "b"), await store.stats(opened)
    assert counts is not None and (counts.failed, counts.open) == (2, 0)
    assert stats is not None and (stats.failed, stats.counters["purged"]) == (1, 1)


async def test_redriving_while_looking_through_meets_each_once_though_it_fails_again(
    store: Store, opened: QueueKey
) -> None:
    await fail(store, opened, tasks(450))
    met = []
    async for letter in store.dead_letters(opened):
        met.append(letter.task.id)
        await store.redrive(opened, [letter.task.id])
        await store.settle(opened, [settle(await claim_one(store, opened), Verdict.FAIL, error=error())])
    assert sorted(met) == [each.id for each in tasks(450)]


@pytest.mark.one_place("the order over a whole queue")
async def test_big_ones_come_back_in_bounded_steps(store: Store, opened: QueueKey) -> None:
    await store.put_policy(opened, policy(max_task_bytes=8_000_000))
    ids = await fail(store, opened, tasks(3, body=BODY + b" " * 6_000_000))
    assert set((await store.redrive(opened, ids)).values()) == {"redriven"}
    assert await claim_ids(store, opened, 1) == ids[:1]
    await inside.assert_consistent(store, opened)


async def test_a_redrive_respects_what_the_queue_may_hold_and_whether_it_is_there(
    store: Store, opened: QueueKey
) -> None:
    ids = await fail(store, opened, tasks(2))
    await store.put_policy(opened, policy(max_pending=1))
    with pytest.raises(QueueFull):
        await store.redrive(opened, ids)
    await store.put_policy(opened, policy(tenants={"default": TenantShare(max_pending=1)}))
    with pytest.raises(QueueFull, match=r"tenants\.default\.maxPending is 1"):
        await store.redrive(opened, ids)
    assert sorted(await listed(store, opened)) == ids, "whole or not at all"
    assert await store.redrive(opened, [ids[0], "nobody"]) == {ids[0]: "redriven", "nobody": "not_found"}
    await store.put_policy(opened, policy(closed=True))
    with pytest.raises(QueueClosed):
        await store.redrive(opened, ids)
    with pytest.raises(NotFound):
        await store.redrive(QueueKey("test", "nowhere"), ids)
    await inside.assert_consistent(store, opened)
