"""A model whose endpoints are all down is served by the next of its chain, and by its own when one is healthy again."""

from typing import Any

from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.controller.control import Control, Hand, controlling, submit, task_queue, worker_pool
from tests.support.modelstub import ModelStub, running
from tests.support.waiting import eventually

MODELS = [{"name": "large", "fallbacks": ["small"]}, {"name": "small"}]


def endpoints(large: ModelStub, small: ModelStub) -> dict[str, dict[str, Any]]:
    return {"big": {"url": large.url, "models": ["large"]}, "little": {"url": small.url, "models": ["small"]}}


async def in_use(store: Store, queue: QueueKey, fallbacks: dict[str, str]) -> None:
    async def found() -> bool:
        policy = await store.policy(queue)
        return policy is not None and policy.fallbacks == fallbacks

    await eventually(found, f"the store's policy to have the fallbacks {fallbacks}")


async def served(control: Control, queue: QueueKey, reason: str) -> str:
    await eventually(lambda: control.reason("TaskQueue", queue.name, "Served") == reason, f"Served to be {reason}")
    status, _, message = control.condition("TaskQueue", queue.name, "Served")
    assert status == "True"
    return message


def workers(control: Control) -> dict[str, int]:
    return {name: number for asked in control.fleet.asked.values() for name, number in asked.items()}


async def test_an_endpoint_that_is_down_is_stood_in_for_until_it_is_healthy(
    store: Store, store_url: str, queue: QueueKey, stub_model: ModelStub
) -> None:
    with running() as large:
        async with controlling(store_url) as control:
            control.reconciler.set_queue(task_queue(queue.name, models=MODELS))
            control.reconciler.set_pool(worker_pool(queue.name, "", endpoints=endpoints(large, stub_model)))
            await submit(store, queue, 8, model="large")
            await eventually(lambda: workers(control).get("big") == 2, "two workers of the wanted model")
            await in_use(store, queue, {})

            large.unhealthy = True
            await in_use(store, queue, {"large": "small"})
            message = await served(control, queue, "ServedByFallback")
            assert message == "by fallback: small for large, until an endpoint of that is healthy again"
            await eventually(lambda: workers(control) == {"big": 0, "little": 2}, "its tasks to count for the other")
            assert control.reason("TaskQueue", queue.name) == "Accepting"

            large.unhealthy = False
            await in_use(store, queue, {})
            await served(control, queue, "Served")
            await eventually(lambda: workers(control) == {"big": 2, "little": 0}, "its tasks to be its own again")
            assert [reason for reason in control.surface.reasons(queue.name) if "erved" in reason] == [
                "ServedByFallback",
                "Served",
            ]


async def test_an_endpoint_that_fails_all_of_its_workers_is_as_good_as_down(
    store: Store, store_url: str, queue: QueueKey, stub_model: ModelStub
) -> None:
    with running() as large:
        async with controlling(store_url) as control:
            control.reconciler.set_queue(task_queue(queue.name, models=MODELS))
            control.reconciler.set_pool(worker_pool(queue.name, "", endpoints=endpoints(large, stub_model)))
            await submit(store, queue, 4, model="large")
            await eventually(lambda: workers(control).get("big") == 1, "a worker of the wanted model")
            hand = Hand(store, queue, endpoint="big")
            await hand.beat(trouble="the endpoint refuses our API key (401): no")
            await in_use(store, queue, {"large": "small"})
            await hand.beat(waits="its limit of 60 requests a minute is used up")
            await in_use(store, queue, {})


async def test_what_a_controller_decided_stands_while_the_next_one_has_not_seen_the_endpoints(
    store: Store, store_url: str, queue: QueueKey, stub_model: ModelStub
) -> None:
    with running() as large:
        large.unhealthy = True
        objects = (
            task_queue(queue.name, models=MODELS),
            worker_pool(queue.name, "", endpoints=endpoints(large, stub_model)),
        )
        async with controlling(store_url) as control:
            control.reconciler.set_queue(objects[0])
            control.reconciler.set_pool(objects[1])
            await in_use(store, queue, {"large": "small"})
        async with controlling(store_url) as control:
            control.reconciler.set_queue(objects[0])
            await eventually(lambda: control.looks("TaskQueue") >= 1, "the queue to be looked at")
            await in_use(store, queue, {"large": "small"})
            await served(control, queue, "ServedByFallback")


async def test_a_model_that_no_pool_serves_is_served_by_fallback(
    store: Store, store_url: str, queue: QueueKey, stub_model: ModelStub
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name, models=MODELS))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await submit(store, queue, 4, model="large")
        await in_use(store, queue, {"large": "small"})
        await control.workers(1)
        await served(control, queue, "ServedByFallback")


async def test_which_models_are_served_is_published_once_all_pools_had_time_to_be_seen(
    store: Store, store_url: str, queue: QueueKey, stub_model: ModelStub
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name, models=MODELS))
        little = {"little": {"url": stub_model.url, "models": ["small"]}}
        control.reconciler.set_pool(worker_pool(queue.name, "", endpoints=little))

        async def published() -> bool:
            policy = await store.policy(queue)
            return policy is not None and policy.served == ("small",)

        await in_use(store, queue, {})
        assert (await store.policy(queue)).served is None, "a pool may not have been seen yet"
        await eventually(published, "the models to be published", timeout=15.0)
