"""A task that is to be there once: whoever submits it again changes nothing, and is told."""

from dataclasses import replace

import pytest

from taskfleet.core.errors import DuplicateTask, StoreError
from taskfleet.core.task import NewTask, QueueKey
from taskfleet.store import Store
from tests.store import inside
from tests.store.given import claim_ids, claim_one, policy, settle, task, tasks
from tests.store.test_submit import stage

pytestmark = pytest.mark.spread


def once(*new: NewTask) -> list[NewTask]:
    return [replace(each, once=True) for each in new]


@pytest.mark.parametrize("count", [1, 999, 2500])
async def test_the_same_tasks_again_are_taken_once(store: Store, opened: QueueKey, count: int) -> None:
    assert await store.submit(opened, once(*tasks(count)), batch="first") == count
    assert await store.submit(opened, once(*tasks(count)), batch="again") == 0
    await inside.assert_consistent(store, opened)
    stats = await store.stats(opened)
    assert stats is not None and stats.pending == count


@pytest.mark.one_place("the order over a whole queue")
async def test_those_that_are_new_are_taken_in_their_order(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, once(task("a"), task("c")))
    assert await store.submit(opened, once(*(task(name) for name in "abcdb"))) == 2
    assert await claim_ids(store, opened, 9) == ["a", "c", "b", "d"]


async def test_one_that_ran_already_does_not_run_again(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, once(task("a")))
    await store.settle(opened, [settle(await claim_one(store, opened))])
    assert await store.submit(opened, once(task("a"))) == 0
    assert await claim_ids(store, opened) == []


async def test_a_full_queue_still_says_that_it_has_them(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, policy(max_pending=2))
    await store.submit(queue, once(*tasks(2)))
    assert await store.submit(queue, once(*tasks(2))) == 0


async def test_a_task_that_must_be_new_is_still_refused(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("a")])
    with pytest.raises(DuplicateTask):
        await store.submit(opened, [*once(task("b")), task("a")])
    await inside.assert_consistent(store, opened)


@pytest.mark.one_place("it stages by hand")
async def test_one_of_a_submission_that_has_not_ended_is_not_taken_for_there(store: Store, opened: QueueKey) -> None:
    await stage(store, opened, task("a"))
    with pytest.raises(StoreError, match="has begun and not ended"):
        await store.submit(opened, once(task("a")))
