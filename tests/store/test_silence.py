"""When no worker is heard it is not they who are gone: leases hold until one is, and for half a lease after that."""

from collections.abc import Awaitable, Callable

import pytest

from taskfleet.core.settlement import Verdict
from taskfleet.core.task import LeasedTask, QueueKey, TaskState
from taskfleet.store import Store
from tests.store import inside
from tests.store.given import MODEL, POLICY, claim_one, error, policy, report, settle, tasks

pytestmark = pytest.mark.spread

LEASE = POLICY.lease_seconds
Comer = Callable[[Store, QueueKey], Awaitable[object]]


async def claims(store: Store, queue: QueueKey) -> None:
    claim = await store.claim(queue, "other", [MODEL], 9)
    assert claim.tasks == ()
    assert claim.next_due_in is not None and claim.next_due_in > 0, "nobody asks again and again meanwhile"


async def ticks(store: Store, queue: QueueKey) -> None:
    await store.tick(queue)


async def reads_stats(store: Store, queue: QueueKey) -> None:
    stats = await store.stats(queue)
    assert stats is not None and stats.running > 0
    assert stats.next_due_at is not None and stats.next_due_at > stats.now


async def beats(store: Store, queue: QueueKey) -> None:
    await store.heartbeat(queue, report("other"), {})


COMERS: tuple[Comer, ...] = (claims, ticks, reads_stats, beats)


async def after_an_outage(store: Store, queue: QueueKey, count: int = 1, outage: float = 2 * LEASE) -> list[LeasedTask]:
    """What worker w1 holds, when the store was away for as long: nobody has said anything since."""
    await store.submit(queue, tasks(count))
    leased = (await store.claim(queue, "w1", [MODEL], count)).tasks
    for worker in ("w1", "other"):
        await store.heartbeat(queue, report(worker), {})
    await inside.let_pass(store, queue, outage)
    return list(leased)


def leases_of(leased: list[LeasedTask]) -> dict[str, int]:
    return {each.id: each.fence for each in leased}


async def comes_back(store: Store, queue: QueueKey) -> LeasedTask:
    """The one task, which its worker has lost."""
    (again,) = (await store.claim(queue, "other", [MODEL], 9)).tasks
    return again


@pytest.mark.parametrize("comer", COMERS)
async def test_whoever_comes_first_after_an_outage_the_results_of_living_workers_count(
    store: Store, opened: QueueKey, comer: Comer
) -> None:
    leased = await after_an_outage(store, opened, 2)
    for first in (comer, *COMERS):
        await first(store, opened)
    assert await store.settle(opened, [settle(leased[0])]) == [True]
    assert (await store.heartbeat(opened, report(), leases_of(leased[1:]))).lost == frozenset()
    await inside.let_pass(store, opened, 0.9 * LEASE)
    await claims(store, opened)
    assert await store.settle(opened, [settle(leased[1])]) == [True]
    await inside.assert_consistent(store, opened)


@pytest.mark.parametrize("outage", [0.6, 1.1, 300], ids=lambda leases: f"{leases} leases")
@pytest.mark.parametrize("comer", COMERS)
async def test_who_died_meanwhile_loses_its_tasks_half_a_lease_after_the_first_word_of_another(
    store: Store, opened: QueueKey, comer: Comer, outage: float
) -> None:
    await after_an_outage(store, opened, outage=outage * LEASE)
    await comer(store, opened)
    await beats(store, opened)
    await inside.let_pass(store, opened, 0.45 * LEASE)
    await beats(store, opened)
    await claims(store, opened)
    await inside.let_pass(store, opened, 0.1 * LEASE)
    again = await comes_back(store, opened)
    assert (again.attempt, again.fence) == (2, 2)
    await inside.assert_consistent(store, opened)


async def test_a_worker_that_dies_while_others_are_heard_loses_its_tasks_at_once(
    store: Store, opened: QueueKey
) -> None:
    await after_an_outage(store, opened, outage=0.4 * LEASE)
    await beats(store, opened)
    await inside.let_pass(store, opened, 0.4 * LEASE)
    await beats(store, opened)
    await inside.let_pass(store, opened, 0.3 * LEASE)
    assert (await comes_back(store, opened)).attempt == 2


async def test_where_nobody_ever_beats_leases_end_as_they_say(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    await claim_one(store, opened)
    await inside.let_pass(store, opened, 1.1 * LEASE)
    assert (await comes_back(store, opened)).attempt == 2


async def test_that_nobody_is_heard_at_all_is_waited_for_four_leases(store: Store, opened: QueueKey) -> None:
    """As where the last worker died: who waits for the task's end hears of it, and a cancel comes to its own."""
    leased = await after_an_outage(store, opened)
    await store.tick(opened)
    await inside.let_pass(store, opened, 3.9 * LEASE)
    await store.tick(opened)
    assert (await store.heartbeat(opened, report(), leases_of(leased))).lost == frozenset()
    await inside.let_pass(store, opened, 2 * LEASE)
    await store.cancel(opened, [leased[0].id])
    await store.tick(opened)
    await inside.let_pass(store, opened, 9 * LEASE)
    await store.tick(opened)
    (view,) = await store.get(opened, [leased[0].id])
    assert view is not None and view.state is TaskState.CANCELLED
    await inside.assert_consistent(store, opened)


async def test_who_beats_too_seldom_spares_nobody_for_ever(store: Store, opened: QueueKey) -> None:
    short = 4.0  # such a lease is spared as a whole
    await store.put_policy(opened, policy(lease_seconds=short))
    await after_an_outage(store, opened, outage=2 * short)
    await beats(store, opened)
    await inside.let_pass(store, opened, 0.8 * short)
    await beats(store, opened)
    await inside.let_pass(store, opened, 0.3 * short)
    assert (await comes_back(store, opened)).attempt == 2


async def test_two_outages_one_soon_after_the_other_are_each_waited_for(store: Store, opened: QueueKey) -> None:
    leased = await after_an_outage(store, opened)
    await store.tick(opened)
    await store.heartbeat(opened, report(), leases_of(leased))
    await inside.let_pass(store, opened, 5 * LEASE)
    for first in COMERS:
        await first(store, opened)
    assert await store.settle(opened, [settle(leased[0])]) == [True]


async def test_a_policy_that_is_published_after_an_outage_takes_no_time_away(store: Store, opened: QueueKey) -> None:
    """As by an upgrade that also restarted the store."""
    leased = await after_an_outage(store, opened)
    await beats(store, opened)
    assert await store.put_policy(opened, policy(max_attempts=7))
    await claims(store, opened)
    assert await store.settle(opened, [settle(leased[0])]) == [True]


async def test_who_sleeps_until_leases_may_end_hears_that_it_is_sooner(store: Store, opened: QueueKey) -> None:
    await after_an_outage(store, opened)
    await claims(store, opened)  # four leases from now
    async with store.listen([opened]) as listener:
        await beats(store, opened)
        assert await listener.wait(10.0) == {opened}
    claim = await store.claim(opened, "other", [MODEL], 9)
    assert claim.next_due_in is not None and claim.next_due_in <= LEASE


async def test_outages_are_no_deaths_and_burn_no_attempt(store: Store, opened: QueueKey) -> None:
    (leased,) = await after_an_outage(store, opened)
    for _ in range(5):
        for first in COMERS:
            await first(store, opened)
        await store.heartbeat(opened, report(), {leased.id: leased.fence})
        await inside.let_pass(store, opened, 2 * LEASE)
    assert await store.settle(opened, [settle(leased, Verdict.RETRY, error=error())]) == [True]
    assert (await claim_one(store, opened)).attempt == 2
