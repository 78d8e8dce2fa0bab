"""What gateways are told of endpoints that they may call themselves."""

from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.controller.control import controlling, task_queue, worker_pool
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually


async def test_the_policy_names_the_endpoints_only_where_the_queue_lets_gateways_call(
    store: Store, store_url: str, queue: QueueKey, stub_model: ModelStub
) -> None:
    async def names() -> list[str]:
        policy = await store.policy(queue)
        return [f"{each['pool']}/{each['endpoint']['name']}" for each in policy.endpoints] if policy else ["?"]

    async def told(*wanted: str) -> bool:
        return await names() == list(wanted)

    own = {"image": "vllm/vllm-openai:v0.11", "port": 8000}
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name, online="Auto"))
        pool = worker_pool(queue.name, stub_model.url, endpoints={"one": {}, "own": {"url": None, "server": own}})
        control.reconciler.set_pool(pool)
        wanted = f"{pool.metadata.name}/one"
        await eventually(lambda: told(wanted), "the one with a URL, and not what is inside of pods")
        control.reconciler.set_queue(task_queue(queue.name, online="Queue", generation=2))
        await eventually(told, "none where calls go through the queue")
