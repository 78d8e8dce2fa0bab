"""What a controller takes over from the one before it: nothing begins anew because a controller did."""

import time
from typing import Any

from taskfleet.core.task import QueueKey
from taskfleet.core.wiretime import moment_of, wire_time
from taskfleet.store import Store
from tests.controller.control import NAMESPACE, RecordingFleet, controlling, submit, task_queue, worker_pool
from tests.support.waiting import eventually

MINUTES = {"scaleDownDelay": "10m", "scaleToZeroDelay": "10m"}


async def test_the_status_shows_since_when_an_endpoint_is_idle_and_only_then(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url, autoscaling=MINUTES | {"minWorkers": 1}))

        def shown() -> dict[str, Any]:
            return dict((control.status("WorkerPool", "pool").get("endpoints") or [{}])[0])

        await eventually(lambda: "idleSince" in shown(), "the idle time in the status")
        assert abs(moment_of(shown()["idleSince"]) - time.time()) < 10
        await control.at_rest()
        writes = control.surface.writes["WorkerPool"]
        await submit(store, queue, 4)
        await eventually(lambda: "idleSince" not in shown(), "the idle time to go from the status")
        assert control.surface.writes["WorkerPool"] > writes


async def test_idle_time_before_a_restart_counts(store_url: str, queue: QueueKey, stub_model: Any) -> None:
    for idle_seconds, left in ((540, 1), (660, 0)):
        fleet = RecordingFleet()
        fleet.asked[NAMESPACE, "pool"] = {"llm": 1}
        before = {"endpoints": [{"name": "llm", "healthy": True, "idleSince": wire_time(time.time() - idle_seconds)}]}
        pool = worker_pool(queue.name, stub_model.url, autoscaling=MINUTES).model_copy(update={"status": before})
        async with controlling(store_url, fleet=fleet) as control:
            control.reconciler.set_queue(task_queue(queue.name))
            control.reconciler.set_pool(pool)
            await eventually(lambda fleet=fleet: fleet.applied, "the first plan")
            await control.at_rest()
            assert fleet.workers() == left, f"idle for {idle_seconds} s of 600"


async def test_the_pace_before_a_restart_is_planned_with(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    slow = {"targetBacklogPerWorker": None, "targetDrainTime": "10s"}
    before = {"endpoints": [{"name": "llm", "healthy": True, "latencySeconds": 9.0}]}
    pool = worker_pool(queue.name, stub_model.url, autoscaling=slow).model_copy(update={"status": before})
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(pool)
        await submit(store, queue, 20)
        await control.workers(5)  # 20 tasks of 9 s, 4 at a time, are 45 s for one worker
