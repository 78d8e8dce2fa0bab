"""What we write comes back as a watch event, also in the middle of a look: that must not end the looking."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.fleet import Kind
from taskfleet.core.plan import Plan
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.controller.control import Hand, RecordingFleet, controlling, guarded, submit, task_queue, worker_pool
from tests.support.waiting import eventually


class EchoingFleet(RecordingFleet):
    """While it applies, the pool arrives once more from the watch, as it was."""

    echo: Callable[[WorkerPool], None]

    async def apply(self, pool: WorkerPool, plan: Plan, inflight: Mapping[str, int]) -> None:
        self.echo(pool.model_copy(update={"status": {"replicas": plan.workers}}))
        await super().apply(pool, plan, inflight)


async def test_our_own_status_that_comes_back_in_the_middle_of_a_look_loses_nothing(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    fleet = EchoingFleet()
    async with controlling(store_url, fleet=fleet) as control:
        fleet.echo = control.reconciler.set_pool
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        hand = Hand(store, queue)
        await submit(store, queue, 8)
        await control.workers(2)
        await hand.claim()
        await hand.finish()
        await control.workers(0)
        assert "ScaledUp" in control.surface.reasons("pool")
        assert "ScaledDown" in control.surface.reasons("pool")


@pytest.mark.parametrize("kind", ["TaskQueue", "WorkerPool"])
async def test_a_status_that_somebody_else_wrote_is_shown_anew(
    store_url: str, queue: QueueKey, stub_model: Any, kind: Kind
) -> None:
    async with controlling(store_url) as control:
        served, pool = task_queue(queue.name), worker_pool(queue.name, stub_model.url)
        control.reconciler.set_queue(served)
        control.reconciler.set_pool(pool)
        await control.at_rest()
        name = queue.name if kind == "TaskQueue" else "pool"
        ours = control.surface.statuses.pop((kind, name))

        theirs = {"status": {**ours, "pools": ["theirs"], "replicas": 7}}
        if kind == "TaskQueue":
            control.reconciler.set_queue(served.model_copy(update=theirs))
        else:
            control.reconciler.set_pool(pool.model_copy(update=theirs))

        await eventually(lambda: control.status(kind, name) == ours, "our status to be shown again")


async def test_a_policy_that_a_controller_before_us_puts_late_is_taken_back(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url, resync_seconds=0.3) as control:
        control.reconciler.set_queue(guarded(task_queue(queue.name)))
        ours = await eventually(lambda: store.policy(queue), "the queue to be in the store")
        await store.put_policy(queue, replace(ours, max_attempts=ours.max_attempts + 7))

        async def taken_back() -> bool:
            return await store.policy(queue) == ours

        await eventually(taken_back, "the policy to be ours again")
