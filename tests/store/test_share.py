"""Strict priority, with a bounded share for the lower ones: nobody starves, and nobody else loses more than that."""

from asyncio import Runner
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskfleet.core.task import Priority, QueueKey
from taskfleet.store import Store
from tests.store.given import MODEL, POLICY, tasks

pytestmark = pytest.mark.spread

SHARE = 20
LOWER = [Priority.HIGH, Priority.NORMAL, Priority.LOW]


async def priorities(store: Store, queue: QueueKey, count: int, models: tuple[str, ...] = (MODEL,)) -> list[Priority]:
    return [leased.priority for leased in (await store.claim(queue, "w1", models, count)).tasks]


async def submit(store: Store, queue: QueueKey, priority: Priority, count: int, model: str = MODEL) -> None:
    start = f"{priority.label}-{model}-"
    await store.submit(queue, tasks(count, start, priority=priority, model=model))


@pytest.mark.parametrize("claims", [[1] * 120, [7] * 20, [120], [19, 1, 20, 21, 59]])
@pytest.mark.one_place("the order over a whole queue")
async def test_behind_work_that_never_ends_every_twentieth_task_is_of_the_lowest(
    store: Store, opened: QueueKey, claims: list[int]
) -> None:
    await submit(store, opened, Priority.CRITICAL, 200)
    await submit(store, opened, Priority.LOW, 50)
    served = [each for count in claims for each in await priorities(store, opened, count)]
    low = [number for number, priority in enumerate(served, start=1) if priority is Priority.LOW]
    assert low == list(range(SHARE, len(served) + 1, SHARE))


@pytest.mark.one_place("the order over a whole queue")
async def test_the_lower_priorities_that_wait_take_turns(store: Store, opened: QueueKey) -> None:
    for priority in Priority:
        await submit(store, opened, priority, 200)
    served = await priorities(store, opened, 120)
    assert [each for each in served if each is not Priority.CRITICAL] == LOWER * 2
    assert set(served[0:19]) == {Priority.CRITICAL}


async def test_an_order_in_which_no_lower_one_waits_is_strict_and_counts_for_nothing(
    store: Store, opened: QueueKey
) -> None:
    await submit(store, opened, Priority.CRITICAL, 100)
    assert set(await priorities(store, opened, 39)) == {Priority.CRITICAL}
    await submit(store, opened, Priority.LOW, 100)
    assert await priorities(store, opened, 20) == [Priority.CRITICAL] * 19 + [Priority.LOW]


@pytest.mark.one_place("the order over a whole queue")
async def test_a_lane_of_another_model_cannot_take_the_share_away(store: Store, opened: QueueKey) -> None:
    """Two pools that take turns: with one count for both, the second would always meet the twentieth."""
    for model in ("a", "b"):
        await submit(store, opened, Priority.CRITICAL, 60, model)
        await submit(store, opened, Priority.LOW, 60, model)
    served: Counter[tuple[str, Priority]] = Counter()
    for _ in range(20):
        for model in ("a", "b"):
            served.update((model, each) for each in await priorities(store, opened, 1, (model,)))
    assert served["a", Priority.LOW] == served["b", Priority.LOW] == 1


@given(
    claims=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    waiting=st.sets(st.sampled_from(LOWER), min_size=1),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_for_any_claims_the_share_is_one_in_twenty_and_split_evenly(
    store_url: str, claims: list[int], waiting: set[Priority]
) -> None:
    async def serve() -> list[Priority]:
        store = await Store.connect(store_url)
        queue = QueueKey("test", "share")
        await store.drop_queue(queue)
        await store.put_policy(queue, POLICY)
        for priority in (Priority.CRITICAL, *waiting):
            await submit(store, queue, priority, 400)
        served = [each for count in claims for each in await priorities(store, queue, count)]
        await store.close()
        return served

    with Runner() as runner:
        served = runner.run(serve())
    counts = Counter(served)
    assert len(served) - counts[Priority.CRITICAL] == len(served) // SHARE
    shares = [counts[priority] for priority in waiting]
    assert max(shares) - min(shares) <= 1
