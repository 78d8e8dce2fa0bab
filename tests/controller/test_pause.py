"""A paused queue starts nothing, says until when, and goes on by itself."""

import time
from typing import Any

from taskfleet.core.task import QueueKey
from taskfleet.core.wiretime import moment_of
from taskfleet.store import Store
from tests.controller.control import controlling, submit, task_queue, worker_pool
from tests.support.waiting import eventually


async def test_a_pause_is_shown_with_its_end_and_starts_no_worker(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await eventually(lambda: store.policy(queue), "the queue")
        await store.pause(queue, until=moment_of("2040-01-31T18:00:00Z"))
        await submit(store, queue, 8)
        await eventually(lambda: control.reason("TaskQueue", queue.name, "Paused") == "Paused", "the pause")
        assert control.condition("TaskQueue", queue.name, "Paused") == (
            "True",
            "Paused",
            "paused until 2040-01-31T18:00:00Z: no task is started",
        )
        assert control.condition("TaskQueue", queue.name, "Ready") == (
            "True",
            "OnHold",
            "tasks are accepted, but none is started: paused until 2040-01-31T18:00:00Z",
        )
        await eventually(lambda: control.reason("WorkerPool", "pool") == "QueueOnHold", "the pool to say it")
        await control.at_rest()
        assert control.fleet.workers() == 0
        await store.resume(queue)
        await control.workers(2)
        await eventually(lambda: control.reason("TaskQueue", queue.name, "Paused") == "Running", "the end of it")


async def test_a_pause_ends_by_itself_with_workers_and_status(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    """Long before the slow second sight: the end is a time that the controller knows."""
    async with controlling(store_url, resync_seconds=3600) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await submit(store, queue, 4)
        await control.workers(1)
        await store.pause(queue, seconds=0.1)
        await store.drop_queue(queue)  # as if the store had lost it, so that the next pause meets no worker
        await control.workers(0)
        await eventually(lambda: store.policy(queue), "the queue to be there again")
        end = await store.pause(queue, seconds=3)
        assert end is not None
        await submit(store, queue, 4)
        await eventually(lambda: control.reason("TaskQueue", queue.name, "Paused") == "Paused", "the pause")
        await control.workers(1)
        assert time.time() > end - 0.05
        await eventually(lambda: control.reason("TaskQueue", queue.name, "Paused") == "Running", "the end of it")


async def test_a_pause_stays_when_the_policy_is_published_anew(store: Store, store_url: str, queue: QueueKey) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        await eventually(lambda: store.policy(queue), "the queue")
        await store.pause(queue)
        control.reconciler.set_queue(task_queue(queue.name, generation=2, stopPolicy="Hold"))
        await eventually(lambda: control.reason("TaskQueue", queue.name, "Paused") == "Hold", "the edit")
        assert (
            control.condition("TaskQueue", queue.name, "Paused")[2]
            == "stopPolicy is Hold and it is paused until someone resumes it: no task is started"
        )
        control.reconciler.set_queue(task_queue(queue.name, generation=3))
        await eventually(lambda: control.reason("TaskQueue", queue.name, "Paused") == "Paused", "the pause alone")
