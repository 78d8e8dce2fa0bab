"""What a rate limit does to a pool: a bound on its workers, and words for those that wait."""

from typing import Any

from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.controller.control import Hand, controlling, submit, task_queue, worker_pool
from tests.support.waiting import eventually

LIMITED = {"llm": {"rateLimit": {"requestsPerMinute": 60}}}
WAITS = "its limit of 60 requests a minute is used up"


async def test_a_pool_grows_no_further_than_its_limit_keeps_busy_and_says_that_it_waits(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url, endpoints=LIMITED))
        await submit(store, queue, 40)
        await control.workers(1)  # 60 tasks of an assumed 2 s each keep two calls busy
        hand = Hand(store, queue)
        await hand.beat(seconds_per_task=10.0, waits=WAITS)
        await control.workers(3)
        await eventually(lambda: control.reason("WorkerPool", "pool") == "RateLimited", "the pool to say so")
        status, _, message = control.condition("WorkerPool", "pool", "Ready")
        assert (status, WAITS in message) == ("True", True)
        assert control.reason("WorkerPool", "pool", "ScalingLimited") == "EndpointRateLimit"
        assert control.reason("WorkerPool", "pool", "EndpointsHealthy") == "AllHealthy"
        (endpoint,) = control.status("WorkerPool", "pool")["endpoints"]
        assert endpoint["message"].endswith(f"; its workers wait: {WAITS}")
        await hand.beat(seconds_per_task=10.0)
        await eventually(lambda: control.reason("WorkerPool", "pool") == "EndpointRateLimit", "it to wait no more")


async def test_a_limit_of_tokens_counts_once_a_task_has_shown_how_many_it_takes(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    limited = {"llm": {"rateLimit": {"tokensPerMinute": 6000}}}
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url, endpoints=limited))
        await submit(store, queue, 20)
        await control.workers(5)
        await Hand(store, queue).beat(seconds_per_task=8.0, tokens_per_task=100.0)
        await control.workers(2)
        await eventually(
            lambda: control.reason("WorkerPool", "pool", "ScalingLimited") == "EndpointRateLimit",
            "the bound to be told",
        )
