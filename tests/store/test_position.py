"""How many tasks are served before one that waits."""

import pytest

from taskfleet.core.settlement import TenantShare, Verdict, seconds_to_serve
from taskfleet.core.task import NewTask, Priority, QueueKey
from taskfleet.store import Store
from tests.store.given import BODY, MODEL, claim_ids, claim_one, error, policy, report, settle, task, tasks

pytestmark = pytest.mark.spread


async def served_before(store: Store, queue: QueueKey, name: str) -> int:
    """By claiming one after another until it comes."""
    before = 0
    while (found := await claim_ids(store, queue)) != [name]:
        assert found
        before += 1
    return before


@pytest.mark.parametrize("place", [0, 1, 500, 999])
@pytest.mark.one_place("the order over a whole queue")
async def test_in_one_lane_it_is_the_place_in_it(store: Store, opened: QueueKey, place: int) -> None:
    await store.submit(opened, tasks(1000))
    assert await store.ahead_of(opened, f"t{place:05d}") == place


@pytest.mark.one_place("the order over a whole queue")
async def test_higher_priorities_of_its_model_are_ahead(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [*tasks(5, "low", priority=Priority.LOW), *tasks(3), *tasks(2, "o", model="other")])
    assert await store.ahead_of(opened, "low00001") == 4


@pytest.mark.one_place("the order over a whole queue")
async def test_what_came_back_is_ahead(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(4))
    first = await claim_one(store, opened)
    await store.settle(opened, [settle(first, Verdict.RELEASE)])
    assert [await store.ahead_of(opened, name) for name in ("t00000", "t00001", "t00003")] == [0, 1, 3]


@pytest.mark.one_place("the order over a whole queue")
async def test_other_tenants_are_counted_by_their_weight(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, policy(tenants={"gold": TenantShare(3)}))
    for tenant in ("gold", "a", "b"):
        await store.submit(queue, [NewTask(f"{tenant}{n}", MODEL, BODY, tenant=tenant) for n in range(50)])
    said = await store.ahead_of(queue, "a9")
    assert said is not None and abs(said - await served_before(store, queue, "a9")) <= 3


@pytest.mark.one_place("the order over a whole queue")
async def test_a_tenant_that_has_less_is_not_counted_for_more(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [NewTask(f"a{n}", MODEL, BODY, tenant="a") for n in range(2)])
    await store.submit(opened, tasks(50))
    assert await store.ahead_of(opened, "t00049") == 51


async def test_behind_its_session_the_others_of_it_are_ahead(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [*tasks(3), *(NewTask(f"s{n}", MODEL, BODY, session="s") for n in range(3))])
    assert await store.ahead_of(opened, "s2") == 5
    await claim_ids(store, opened, 4)
    assert await store.ahead_of(opened, "s2") == 2


async def test_what_does_not_wait_for_a_worker_has_no_place(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("a"), task("b")])
    await store.settle(opened, [settle(await claim_one(store, opened), Verdict.RETRY, delay=60.0, error=error())])
    await claim_one(store, opened)
    assert [await store.ahead_of(opened, name) for name in ("a", "b", "nobody")] == [None, None, None]


def test_the_time_is_that_of_the_workers_of_the_model() -> None:
    workers = [report(tasks_per_minute=30.0, models=("m",)), report(tasks_per_minute=90.0, models=("n", "m"))]
    assert seconds_to_serve(10, workers, "m") == 5.0
    assert seconds_to_serve(10, workers, "n") == pytest.approx(600 / 90)
    assert seconds_to_serve(10, workers) == 5.0
    assert seconds_to_serve(10, workers, "nobody") is None
    assert seconds_to_serve(10, []) is None
