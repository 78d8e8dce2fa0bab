"""Objects and tasks in any order come to the same workers, and then nothing is written any more."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from taskfleet.api.workerpool import WorkerPool
from taskfleet.core.errors import TaskfleetError
from taskfleet.core.plan import Plan
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.controller.control import (
    NAMESPACE,
    Hand,
    RecordingFleet,
    RecordingSurface,
    controlling,
    guarded,
    submit,
    task_queue,
    worker_pool,
)
from tests.support.waiting import eventually


@pytest.mark.parametrize("order", list(itertools.permutations(("queue", "pool", "run"))), ids="-".join)
async def test_queue_pool_and_controller_may_come_in_any_order(
    order: tuple[str, ...], store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    before_run = order[: order.index("run")]
    after_run = order[order.index("run") + 1 :]
    objects = {"queue": task_queue(queue.name), "pool": worker_pool(queue.name, stub_model.url)}
    fleet, surface = RecordingFleet(), RecordingSurface()
    async with controlling(store_url, fleet=fleet, surface=surface) as control:
        give = {
            "queue": lambda: control.reconciler.set_queue(objects["queue"]),
            "pool": lambda: control.reconciler.set_pool(objects["pool"]),
        }
        for kind in before_run:
            give[kind]()
        for kind in after_run:
            await control.at_rest()
            give[kind]()
        await submit(store, queue, 10)
        await control.workers(3)
        assert control.reason("TaskQueue", queue.name, "Served") in ("Served", "")
        await eventually(
            lambda: control.status("WorkerPool", "pool").get("desiredReplicas") == 3, "the status to show it"
        )


async def test_workers_go_from_none_to_many_to_none_and_each_step_is_told(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        hand = Hand(store, queue)
        await submit(store, queue, 8)
        await control.workers(2)
        await hand.claim()
        await hand.beat()
        await eventually(lambda: control.status("TaskQueue", queue.name).get("running") == 8, "8 running tasks")
        await hand.finish()
        await control.workers(0)
        await eventually(
            lambda: (
                control.status("WorkerPool", "pool").get("desiredReplicas") == 0
                and control.status("TaskQueue", queue.name).get("completed") == 8
            ),
            "the last state to be written",
        )
        first, *later = control.surface.reasons("pool")
        assert (first, set(later)) == ("ScaledUp", {"ScaledDown"})
        _, _, first = control.surface.told[0]
        assert (
            first == "llm from 0 to 2 workers: 8 waiting and 0 running tasks (4 at a time in a worker) need 2 workers"
        )
        assert control.status("WorkerPool", "pool")["lastScaleReason"].endswith(
            " to 0 workers: no task waits or runs for its models"
        )
        assert control.reason("WorkerPool", "pool") == "Idle"


async def test_at_rest_the_store_is_read_slowly_and_nothing_is_written(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url, resync_seconds=0.1) as control:
        control.reconciler.set_queue(guarded(task_queue(queue.name)))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await eventually(
            lambda: control.reason("WorkerPool", "pool", "EndpointsHealthy") == "AllHealthy", "the probe to be shown"
        )
        await eventually(lambda: control.reason("TaskQueue", queue.name) == "Accepting", "the queue to accept tasks")
        looked = control.looks("TaskQueue")
        await eventually(lambda: control.looks("TaskQueue") > looked + 3, "what was set in motion to have ended")
        planned, writes = len(control.fleet.applied), control.surface.writes.total()
        await eventually(lambda: control.looks("TaskQueue") > looked + 8, "five slow looks")
        assert control.surface.writes.total() == writes
        assert len(control.fleet.applied) == planned, "an idle pool is not planned again without a reason"


async def test_the_same_object_again_is_no_reason_to_look(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        objects = guarded(task_queue(queue.name)), worker_pool(queue.name, stub_model.url)
        control.reconciler.set_queue(objects[0])
        control.reconciler.set_pool(objects[1])
        await control.at_rest()
        looks = control.looks("TaskQueue") + control.looks("WorkerPool")
        for _ in range(20):
            shown = [control.status("TaskQueue", queue.name), control.status("WorkerPool", "pool")]
            control.reconciler.set_queue(objects[0].model_copy(update={"status": shown[0]}))
            control.reconciler.set_pool(objects[1].model_copy(update={"status": shown[1]}))
        await control.at_rest()
        assert control.looks("TaskQueue") + control.looks("WorkerPool") == looks


async def test_drift_that_the_fleet_reports_is_repaired_from_memory_and_not_followed(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url, autoscaling={"minWorkers": 2}))
        await control.workers(2)
        for by_hand in (0, 9):
            control.fleet.asked[NAMESPACE, "pool"] = {"llm": by_hand}
            control.reconciler.touch_pool(NAMESPACE, "pool")
            await control.workers(2)


async def test_an_edited_pool_is_planned_anew(store: Store, store_url: str, queue: QueueKey, stub_model: Any) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await submit(store, queue, 40)
        await control.workers(10)
        less = worker_pool(queue.name, stub_model.url, generation=2, autoscaling={"maxWorkers": 3})
        control.reconciler.set_pool(less)
        await control.workers(3)
        await eventually(
            lambda: control.status("WorkerPool", "pool").get("observedGeneration") == 2, "the generation to be observed"
        )
        assert control.reason("WorkerPool", "pool") == "PoolMaxWorkers"
        two = {"llm": {}, "other": {"models": ["large"]}}
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url, generation=3, endpoints=two))
        await eventually(lambda: set(control.fleet.asked[NAMESPACE, "pool"]) == {"llm", "other"}, "the new endpoint")


async def test_hold_keeps_the_workers_and_drain_takes_them_when_nothing_runs(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await submit(store, queue, 8)
        await control.workers(2)
        hand = Hand(store, queue)
        assert await hand.claim(4) == 4
        await hand.beat()
        control.reconciler.set_queue(task_queue(queue.name, generation=2, stopPolicy="Hold"))
        await eventually(lambda: control.reason("WorkerPool", "pool") == "QueueOnHold", "the hold to be told")
        assert control.fleet.workers() == 2
        assert await Hand(store, queue).claim() == 0
        await eventually(
            lambda: control.reason("TaskQueue", queue.name, "Paused") == "Hold", "the queue to tell it too"
        )
        assert control.condition("TaskQueue", queue.name, "Paused")[:2] == ("True", "Hold")
        control.reconciler.set_queue(task_queue(queue.name, generation=3, stopPolicy="HoldAndDrain"))
        await eventually(lambda: control.reason("WorkerPool", "pool") == "Draining", "the drain to be told")
        assert control.fleet.workers() == 2
        await hand.finish()
        await hand.beat()
        await control.workers(0)
        control.reconciler.set_queue(task_queue(queue.name, generation=4))
        await control.workers(1)


async def test_a_new_controller_changes_and_writes_nothing(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    fleet = RecordingFleet()
    pool_now, queue_now = worker_pool(queue.name, stub_model.url, autoscaling={"minWorkers": 2}), task_queue(queue.name)
    async with controlling(store_url, fleet=fleet) as control:
        control.reconciler.set_queue(queue_now)
        control.reconciler.set_pool(pool_now)
        await control.workers(2)
        await control.at_rest()
        statuses = control.surface.statuses
    fleet.applied.clear()
    async with controlling(store_url, fleet=fleet) as again:
        shown = statuses["WorkerPool", "pool"]
        again.reconciler.set_pool(pool_now.model_copy(update={"status": shown}))
        again.reconciler.set_queue(guarded(queue_now).model_copy(update={"status": statuses["TaskQueue", queue.name]}))
        await again.at_rest()
        assert {number for _, _, workers in fleet.applied for number in workers.values()} == {2}
        assert again.surface.writes.total() == 0
        assert again.surface.told == []


async def test_a_busy_worker_reports_keep_workers_and_pace_is_remembered(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        slow = {"targetBacklogPerWorker": None, "targetDrainTime": "10s"}
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url, autoscaling=slow))
        await submit(store, queue, 20)
        await control.workers(1)  # 20 tasks of an assumed 2 s, 4 at a time, fit into 10 s
        hand = Hand(store, queue)
        await hand.claim(4)
        await hand.beat(seconds_per_task=9.0, trouble="the endpoint refuses the API key (401)")
        await control.workers(5)
        await eventually(lambda: control.status("WorkerPool", "pool").get("desiredReplicas") == 5, "the status")
        shown = control.status("WorkerPool", "pool")["endpoints"][0]
        assert (shown["latencySeconds"], shown["inflight"]) == (9.0, 4)
        assert shown["message"].endswith("; its workers say: the endpoint refuses the API key (401)")


async def test_a_deleted_pool_is_removed_and_one_of_the_same_name_starts_afresh(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url, autoscaling={"minWorkers": 1}))
        await control.workers(1)
        control.reconciler.forget_pool(NAMESPACE, "pool")
        await eventually(lambda: control.fleet.removed == [(NAMESPACE, "pool")], "its workers to be removed")
        await eventually(lambda: control.status("TaskQueue", queue.name)["pools"] == [], "the queue to show it")
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url, uid="p-2", autoscaling={"minWorkers": 3}))
        await control.workers(3)


async def test_the_trouble_of_one_pool_stops_no_other(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.fleet.broken.add("bad")
        control.reconciler.set_queue(task_queue(queue.name))
        for name in ("bad", "good"):
            control.reconciler.set_pool(worker_pool(queue.name, stub_model.url, name=name, uid=name))
        await submit(store, queue, 4)
        await control.workers(1, "good")
        errors = {"kind": "WorkerPool", "outcome": "error"}
        await eventually(
            lambda: (control.registry.get_sample_value("taskfleet_reconcile_total", errors) or 0) >= 2,
            "the bad pool to be tried again",
        )
        control.fleet.broken.clear()
        await control.workers(1, "bad")


async def test_a_status_that_could_not_be_written_is_written_later(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.surface.broken = True
        control.reconciler.set_queue(task_queue(queue.name))
        errors = {"kind": "TaskQueue", "outcome": "error"}
        await eventually(
            lambda: control.registry.get_sample_value("taskfleet_reconcile_total", errors), "the write to fail"
        )
        control.surface.broken = False
        await eventually(lambda: control.reason("TaskQueue", queue.name) == "NoWorkerPool", "the status")


async def test_while_numbers_move_a_status_is_written_about_once_a_second_and_the_last_one_always(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        for _ in range(60):
            await submit(store, queue, 1)
        await eventually(lambda: control.status("TaskQueue", queue.name).get("pending") == 60, "all 60 to be shown")
        times = control.surface.written_at["TaskQueue", queue.name]
        assert all(later - earlier >= 0.99 for earlier, later in itertools.pairwise(times))


async def test_a_model_without_endpoint_is_named_with_what_to_do(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name, models="small large"))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await submit(store, queue, 3, model="large")
        await eventually(lambda: control.reason("TaskQueue", queue.name, "Served") == "ModelNotServed", "the reason")
        assert control.condition("TaskQueue", queue.name, "Served")[2] == (
            "no endpoint serves large (3 tasks); add the model to spec.endpoints[].models of a WorkerPool "
            "(there are: pool)"
        )
        assert control.surface.reasons(queue.name) == ["ModelNotServed"]
        serving = worker_pool(queue.name, stub_model.url, name="second", uid="p-2", models="large")
        control.reconciler.set_pool(serving)
        await control.workers(1, "second")
        await eventually(lambda: control.reason("TaskQueue", queue.name, "Served") == "Served", "it to be served")


async def test_a_wake_up_that_was_lost_is_made_up_for_by_the_slow_second_sight(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url, resync_seconds=0.3) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await eventually(lambda: store.policy(queue), "the policy")
        control.reconciler._link._woken = lambda queues: None
        await submit(store, queue, 4)
        await control.workers(1)


async def test_a_fleet_that_refuses_is_quoted_in_the_status_and_asked_again(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    fleet = RecordingFleet()
    fleet.refused = {"llm": "the quota is used up"}
    async with controlling(store_url, fleet=fleet) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await submit(store, queue, 4)
        told = ("False", "WorkersNotStarting", "llm: the quota is used up")
        await eventually(lambda: control.condition("WorkerPool", "pool", "Ready") == told, "the refusal")
        fleet.refused = {}
        await control.workers(1)


class AwayFleet(RecordingFleet):
    """One whose API server cannot be reached."""

    async def apply(self, pool: WorkerPool, plan: Plan, inflight: Mapping[str, int]) -> None:
        raise TaskfleetError("the API server is away")


async def test_trouble_that_was_foreseen_is_logged_in_a_sentence_without_a_traceback(
    store_url: str, queue: QueueKey, stub_model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with controlling(store_url, fleet=AwayFleet()) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await eventually(lambda: "the API server is away" in caplog.text, "the sentence")
    assert "Traceback" not in caplog.text
