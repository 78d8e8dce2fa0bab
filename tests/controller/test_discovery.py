"""A pool that finds its endpoints: workers come and go with the Services, and the status says what was found."""

from taskfleet.controller.cluster.cache import ObjectCache
from taskfleet.controller.cluster.feed import DELETED, SERVICE, Feed
from taskfleet.core.task import QueueKey
from tests.controller.control import Control, controlling, task_queue
from tests.support.services import NoParallelQueues, Object, searching_pool, service
from tests.support.waiting import eventually

SCALING = {"minWorkers": 4, "maxWorkers": 8}
POOL = ("test", "pool")


def feed(control: Control) -> Feed:
    return Feed(
        control.reconciler,
        NoParallelQueues(),
        {"TaskQueue": ObjectCache(), "WorkerPool": ObjectCache()},
        ObjectCache(),
        ObjectCache(),
        ObjectCache(),
        lambda *_: None,
        set(),
    )


def pool(queue: QueueKey, *listed: str) -> Object:
    return searching_pool(*listed, queue=queue.name, autoscaling=SCALING, discovery={"maxWorkers": 2})


async def shown(control: Control, *endpoints: str) -> None:
    def names() -> list[str]:
        return [each["name"] for each in control.status("WorkerPool", "pool").get("endpoints", ())]

    await eventually(lambda: names() == list(endpoints), f"the status to show {endpoints}")


async def test_workers_come_and_go_with_the_services(store_url: str, queue: QueueKey) -> None:
    async with controlling(store_url) as control:
        seen = feed(control)
        control.reconciler.set_queue(task_queue(queue.name))
        seen.event("WorkerPool", "ADDED", pool(queue))
        seen.event(SERVICE, "ADDED", service("one"))
        seen.event(SERVICE, "ADDED", service("two"))
        await eventually(lambda: control.fleet.asked.get(POOL) == {"one": 2, "two": 2}, "workers of both")
        await shown(control, "one", "two")
        seen.event(SERVICE, DELETED, service("two"))
        await eventually(lambda: control.fleet.asked.get(POOL) == {"one": 2}, "only those of the one left")
        await shown(control, "one")


async def test_a_pool_without_any_endpoint_says_so_until_there_is_one(store_url: str, queue: QueueKey) -> None:
    async with controlling(store_url) as control:
        seen = feed(control)
        control.reconciler.set_queue(task_queue(queue.name))
        seen.event("WorkerPool", "ADDED", pool(queue))
        await eventually(lambda: control.reason("WorkerPool", "pool") == "NoEndpoints", "the lack to be told")
        assert control.reason("WorkerPool", "pool", "EndpointsHealthy") == "NoEndpoints"
        assert control.reason("WorkerPool", "pool", "ServicesFound") == "NoServiceMatches"
        assert control.surface.reasons("pool") == ["NoServiceMatches"]
        seen.event(SERVICE, "ADDED", service("one"))
        await eventually(lambda: control.reason("WorkerPool", "pool", "ServicesFound") == "Found", "what is found")
        assert control.reason("WorkerPool", "pool") != "NoEndpoints"
        await control.workers(2)


async def test_a_service_that_cannot_be_used_is_told_once_and_the_rest_goes_on(store_url: str, queue: QueueKey) -> None:
    async with controlling(store_url) as control:
        seen = feed(control)
        control.reconciler.set_queue(task_queue(queue.name))
        seen.event(SERVICE, "ADDED", service("one"))
        seen.event("WorkerPool", "ADDED", pool(queue, "listed"))
        await shown(control, "listed", "one")
        seen.event(SERVICE, "ADDED", service("listed"))
        await eventually(
            lambda: control.reason("WorkerPool", "pool", "ServicesFound") == "ServicesUnusable", "the collision"
        )
        await shown(control, "listed", "one")
        seen.event(SERVICE, "MODIFIED", service("listed", note="something that matters to nobody here"))
        await control.at_rest()
        assert control.surface.reasons("pool").count("ServicesUnusable") == 1
        seen.event(SERVICE, DELETED, service("listed"))
        await eventually(lambda: control.reason("WorkerPool", "pool", "ServicesFound") == "Found", "the end of it")


async def test_the_condition_goes_with_the_field(store_url: str, queue: QueueKey) -> None:
    async with controlling(store_url) as control:
        seen = feed(control)
        control.reconciler.set_queue(task_queue(queue.name))
        seen.event("WorkerPool", "ADDED", pool(queue, "listed"))
        await eventually(lambda: control.reason("WorkerPool", "pool", "ServicesFound"), "the condition")
        plain = pool(queue, "listed")
        del plain["spec"]["discovery"]
        seen.event("WorkerPool", "MODIFIED", plain)
        await eventually(lambda: not control.reason("WorkerPool", "pool", "ServicesFound"), "the condition to go")
