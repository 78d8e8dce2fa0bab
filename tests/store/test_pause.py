"""A paused queue gives nothing out until its time has come, and takes everything else."""

import time

import pytest

from taskfleet.core.errors import NotFound
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.store.given import MODEL, claim_ids, claim_one, policy, report, settle, tasks
from tests.support.waiting import eventually

pytestmark = pytest.mark.spread


async def test_nothing_is_claimed_and_what_runs_goes_on(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(2))
    leased = await claim_one(store, opened)
    assert await store.pause(opened) is None
    claim = await store.claim(opened, "w1", [MODEL], 5)
    assert (claim.tasks, claim.stopped) == ((), True)
    assert await store.heartbeat(opened, report(), {leased.id: leased.fence}) is not None
    assert await store.settle(opened, [settle(leased)]) == [True]
    await store.submit(opened, tasks(1, "more"))
    stats = await store.stats(opened)
    assert stats is not None
    assert (stats.pending, stats.paused, stats.paused_until) == (2, True, None)
    assert stats.pause == "paused until someone resumes it"


async def test_resume_ends_it_and_says_whether_there_was_a_pause(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    assert await store.resume(opened) is False
    await store.pause(opened)
    assert await store.resume(opened) is True
    assert await claim_ids(store, opened) == ["t00000"]


async def test_it_ends_by_itself_and_a_claim_before_that_says_when(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    end = await store.pause(opened, seconds=0.4)
    assert end is not None
    early = await store.claim(opened, "w1", [MODEL], 1)
    assert early.stopped and early.next_due_in is not None
    assert 0 < early.next_due_in <= 0.4
    stats = await store.stats(opened)
    assert stats is not None and stats.next_due_at == stats.paused_until == end
    await eventually(lambda: claim_ids(store, opened), "the claim after the end")
    after = await store.stats(opened)
    assert after is not None and (after.paused, after.paused_until, after.now >= end) == (False, None, True)


async def test_it_may_be_given_a_time_and_a_later_pause_takes_its_place(store: Store, opened: QueueKey) -> None:
    moment = float(round(time.time()) + 3600)
    assert await store.pause(opened, until=moment) == moment
    assert await store.pause(opened) is None
    later = await store.pause(opened, seconds=7200)
    assert later is not None and later > moment


async def test_a_new_policy_does_not_end_it_and_a_queue_made_again_has_none(store: Store, opened: QueueKey) -> None:
    await store.pause(opened)
    await store.put_policy(opened, policy(max_attempts=7))
    stats = await store.stats(opened)
    assert stats is not None and stats.paused
    await store.drop_queue(opened)
    await store.put_policy(opened, policy())
    stats = await store.stats(opened)
    assert stats is not None and not stats.paused


async def test_everybody_who_listens_hears_of_it(store: Store, opened: QueueKey) -> None:
    async with store.listen([opened]) as listener:
        await store.pause(opened)
        assert await listener.wait(5) == {opened}
        await store.resume(opened)
        assert await listener.wait(5) == {opened}


async def test_a_queue_that_does_not_exist_cannot_be_paused(store: Store, queue: QueueKey) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        await store.pause(queue)
    with pytest.raises(NotFound, match="does not exist"):
        await store.resume(queue)
