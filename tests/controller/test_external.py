"""A queue of execution External has no workers, says so, and complains of nothing."""

from typing import Any

from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.controller.control import Hand, controlling, deleted, submit, task_queue, worker_pool
from tests.support.waiting import eventually


async def test_no_pool_is_needed_and_the_depth_is_shown(store: Store, store_url: str, queue: QueueKey) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name, execution="External"))
        await submit(store, queue, 3)
        await eventually(
            lambda: control.status("TaskQueue", queue.name).get("depth", {}).get("normal") == 3, "the depth to be shown"
        )
        for condition in ("Ready", "Served"):
            status, reason, message = control.condition("TaskQueue", queue.name, condition)
            assert (status, reason) == ("True", "External")
            assert "claimed with `taskfleet run`, and no WorkerPool serves them" in message
        assert control.surface.reasons(queue.name) == []


async def test_a_pool_that_refers_to_it_gets_no_workers_and_is_told_why(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name, execution="External"))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url, autoscaling={"minWorkers": 2}))
        await submit(store, queue, 8)
        await eventually(lambda: control.reason("WorkerPool", "pool") == "QueueIsExternal", "the pool's reason")
        status, _, message = control.condition("WorkerPool", "pool", "ScalingActive")
        assert status == "False"
        assert "the queue's execution is External" in message
        assert control.fleet.workers() == 0


async def test_workers_go_when_a_queue_becomes_external_and_come_back_with_them(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await submit(store, queue, 8)
        await control.workers(2)
        control.reconciler.set_queue(task_queue(queue.name, generation=2, execution="External"))
        await control.workers(0)
        control.reconciler.set_queue(task_queue(queue.name, generation=3))
        await control.workers(2)


async def test_a_deleted_one_waits_for_whoever_claims_its_tasks(store: Store, store_url: str, queue: QueueKey) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name, execution="External"))
        await submit(store, queue, 1)
        control.reconciler.set_queue(deleted(task_queue(queue.name, execution="External")))
        await eventually(lambda: control.reason("TaskQueue", queue.name) == "Deleting", "the deletion to be told")
        hand = Hand(store, queue)
        assert await hand.claim() == 1
        await hand.finish()
        await eventually(lambda: control.surface.released == [queue.name], "the queue to go")
