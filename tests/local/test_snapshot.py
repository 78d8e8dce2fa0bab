"""What is gathered for the view of a running `up`."""

from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.taskreader import task_from_prompt
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.policy import queue_policy
from taskfleet.core.settlement import WorkerReport
from taskfleet.core.task import QueueKey
from taskfleet.local.snapshot import Observer
from taskfleet.local.surface import MemorySurface
from taskfleet.store import Store


async def test_a_queue_that_waits_says_what_probes_and_workers_see(store: Store, queue: QueueKey) -> None:
    metadata = {"namespace": queue.namespace, "name": queue.name}
    version = {"apiVersion": "taskfleet.dev/v1alpha1"}
    models = {"models": [{"name": "small"}]}
    wanted = TaskQueue.model_validate(version | {"kind": "TaskQueue", "metadata": metadata, "spec": models})
    endpoint = {"name": "llm", "provider": "openai", "url": "http://llm/v1", "models": ["small"]}
    spec = {"queueRef": {"name": queue.name}, "endpoints": [endpoint]}
    pool = WorkerPool.model_validate(
        version | {"kind": "WorkerPool", "metadata": metadata | {"name": "pool"}, "spec": spec}
    )
    surface = MemorySurface(tell=lambda _text: None)
    unhealthy = {"type": "EndpointsHealthy", "status": "False", "message": "llm: connection refused"}
    await surface.write_status("WorkerPool", pool, {"conditions": [unhealthy]})
    observer = Observer(store, surface)
    await store.put_policy(queue, queue_policy(wanted.spec))

    async def note() -> str:
        (view,) = (await observer.snapshot([wanted], [pool])).queues
        return view.note

    assert await note() == "", "nothing waits for the endpoint"
    await store.submit(queue, [task_from_prompt("hello", spec=wanted.spec)])
    assert await note() == "pool pool: endpoints not healthy: llm: connection refused"
    report = WorkerReport("w-1", "pool", "llm", slots=2, inflight=0, trouble="HTTP 500: broken")
    await store.heartbeat(queue, report, {})
    assert (await note()).startswith("pool/llm: HTTP 500: broken; pool pool: ")
