"""A queue that is deleted loses no task unless somebody says so, and says what it waits for."""

from dataclasses import replace
from typing import Any

import pytest

from taskfleet.controller.deletion import decide_deletion
from taskfleet.core.errors import QueueClosed
from taskfleet.core.names import DISCARD_ANNOTATION
from taskfleet.core.pool import Execution, StopPolicy
from taskfleet.core.settlement import QueueStats
from taskfleet.core.task import NewTask, QueueKey
from taskfleet.store import Store
from tests.controller.control import Hand, controlling, deleted, guarded, submit, task_queue, worker_pool
from tests.support.waiting import eventually

HOW = 'to discard the tasks, annotate the queue: taskfleet.dev/discard-tasks="true"'
DRAINS = f"takes no new tasks; {{}}; the queue goes when they are finished; {HOW}"
BLOCKED = f"{{}} waiting and 0 running, but {{}}; or, {HOW}"


def numbers(pending: int = 0, scheduled: int = 0, running: int = 0) -> QueueStats:
    return QueueStats(pending, scheduled, running, 0, 7, 0, 0, {}, {}, None, None, 0.0)


@pytest.mark.parametrize(
    ("stats", "options", "reason", "message"),
    [
        (numbers(3, 1, 2), {}, "Deleting", DRAINS.format("4 tasks waiting and 2 running")),
        (numbers(0, 0, 2), {"stop": StopPolicy.HOLD}, "Deleting", DRAINS.format("0 tasks waiting and 2 running")),
        (
            numbers(1),
            {"stop": StopPolicy.HOLD},
            "DeletionBlocked",
            BLOCKED.format("1 task", "the queue's stopPolicy is Hold; set it to None to finish them"),
        ),
        (
            numbers(1),
            {"pools": 0},
            "DeletionBlocked",
            BLOCKED.format("1 task", "no WorkerPool serves this queue; create one to finish them"),
        ),
        (
            numbers(2),
            {"unserved": ["small"]},
            "DeletionBlocked",
            BLOCKED.format("2 tasks", "no endpoint of any WorkerPool serves small; add one to finish them"),
        ),
        (
            numbers(2),
            {"pools": 0, "execution": Execution.EXTERNAL},
            "Deleting",
            DRAINS.format("2 tasks waiting and 0 running"),
        ),
        (
            replace(numbers(2), paused=True, paused_until=86400.0),
            {},
            "DeletionBlocked",
            BLOCKED.format(
                "2 tasks", "the queue is paused until 1970-01-02T00:00:00Z; `taskfleet resume` it to finish them"
            ),
        ),
    ],
    ids=["drains", "only running tasks on hold", "held", "no pool", "no endpoint", "external", "paused"],
)
def test_what_a_deleted_queue_waits_for(stats: QueueStats, options: dict[str, Any], reason: str, message: str) -> None:
    usual = {"discard": False, "stop": StopPolicy.NONE, "execution": Execution.WORKERS, "unserved": (), "pools": 1}
    decided = decide_deletion(stats, **usual | options)
    assert (decided.drop, decided.reason, decided.message) == (False, reason, message)


@pytest.mark.parametrize(("stats", "discard"), [(None, False), (numbers(), False), (numbers(5, 5, 5), True)])
def test_a_deleted_queue_goes_when_it_is_empty_or_told_to(stats: QueueStats | None, discard: bool) -> None:
    decided = decide_deletion(
        stats, discard=discard, stop=StopPolicy.HOLD, execution=Execution.WORKERS, unserved=("x",), pools=0
    )
    assert decided.drop


async def test_every_queue_gets_the_finalizer_once(store_url: str, queue: QueueKey) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        await eventually(lambda: control.status("TaskQueue", queue.name), "the first status")
        control.reconciler.set_queue(guarded(task_queue(queue.name)))
        control.reconciler.set_queue(guarded(task_queue(queue.name, generation=2)))
        await eventually(
            lambda: control.status("TaskQueue", queue.name)["observedGeneration"] == 2, "the edit to be seen"
        )
        assert control.surface.guarded == [queue.name]


async def test_a_finalizer_that_somebody_took_away_is_put_back(store_url: str, queue: QueueKey) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(guarded(task_queue(queue.name)))
        await eventually(lambda: control.status("TaskQueue", queue.name), "the first status")
        assert control.surface.guarded == []
        control.reconciler.set_queue(task_queue(queue.name))
        await eventually(lambda: control.surface.guarded == [queue.name], "the finalizer")
        control.reconciler.set_queue(guarded(task_queue(queue.name)))
        control.reconciler.set_queue(task_queue(queue.name))
        await eventually(lambda: len(control.surface.guarded) == 2, "the finalizer once more")


async def test_a_deleted_queue_takes_nothing_new_lets_its_workers_finish_and_then_goes(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await submit(store, queue, 6)
        hand = Hand(store, queue)
        await hand.claim(2)
        await hand.beat()
        control.reconciler.set_queue(deleted(task_queue(queue.name)))
        await eventually(lambda: control.reason("TaskQueue", queue.name) == "Deleting", "the deletion to be told")
        with pytest.raises(QueueClosed):
            await store.submit(queue, [NewTask("late", "small", b"{}")])
        assert control.fleet.workers() > 0, "workers stay to finish the tasks"
        assert control.surface.released == []
        await hand.finish()
        await hand.claim()
        await hand.finish()
        await eventually(lambda: control.surface.released == [queue.name], "the queue to be released")
        assert await store.policy(queue) is None
        control.reconciler.set_queue(deleted(task_queue(queue.name), seen="again"))
        control.reconciler.forget_queue(queue)
        await control.at_rest()
        assert await store.policy(queue) is None, "a released queue is not made again"


async def test_a_deleted_queue_that_nobody_serves_waits_until_its_tasks_are_discarded(
    store: Store, store_url: str, queue: QueueKey
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        await submit(store, queue, 6)
        control.reconciler.set_queue(deleted(task_queue(queue.name)))
        await eventually(lambda: control.reason("TaskQueue", queue.name) == "DeletionBlocked", "the block to be told")
        assert "no WorkerPool serves this queue" in control.condition("TaskQueue", queue.name, "Ready")[2]
        assert control.surface.reasons(queue.name)[-1] == "DeletionBlocked"
        control.reconciler.set_queue(deleted(task_queue(queue.name), **{DISCARD_ANNOTATION: "true"}))
        await eventually(lambda: control.surface.released == [queue.name], "the queue to be released")
        assert await store.stats(queue) is None


async def test_a_queue_that_the_store_never_had_goes_at_once(store: Store, store_url: str, queue: QueueKey) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(deleted(task_queue(queue.name)))
        await eventually(lambda: control.surface.released == [queue.name], "the queue to be released")
        assert await store.policy(queue) is None


async def test_a_queue_made_again_under_the_same_name_is_a_new_one(
    store: Store, store_url: str, queue: QueueKey
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(deleted(task_queue(queue.name)))
        await eventually(lambda: control.surface.released == [queue.name], "the queue to be released")
        control.reconciler.set_queue(task_queue(queue.name, uid="q-2"))
        await submit(store, queue, 1)
        await eventually(lambda: control.status("TaskQueue", queue.name).get("pending") == 1, "the new queue to work")
