"""What we write comes back as a watch event, also in the middle of a look: that must not end the looking."""

from collections.abc import Callable, Mapping
from typing import Any

from taskfleet.api.workerpool import WorkerPool
from taskfleet.core.plan import Plan
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.controller.control import Hand, RecordingFleet, controlling, submit, task_queue, worker_pool


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
