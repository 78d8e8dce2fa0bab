"""`taskfleet explain` on a running `up`: what its controller decided, and why."""

from tests.local.test_up import submit
from tests.support.commands import Taskfleet
from tests.support.laptop import WORKER_SECONDS, Laptop
from tests.support.modelstub import ModelStub
from tests.support.waiting import wait_until


def test_a_running_queue_its_pool_its_endpoint_and_a_task_are_explained(
    ready: Laptop, stub_model: ModelStub, taskfleet: Taskfleet
) -> None:
    def said(*arguments: str) -> str:
        return taskfleet("explain", *arguments, "--data", ready.data).out

    stub_model.hold()
    ready.start()
    submit(ready, 20)
    ready.wait_for_workers(2)
    wait_until(lambda: stub_model.inflight == 4, "4 calls", timeout=WORKER_SECONDS)
    wanted = "pool pool: stub (healthy) has 2 workers, 2 ready, 4 tasks in flight: "
    queue = wait_until(lambda: (text := said("queue", "demo")) and wanted in text and text, repr(wanted))
    assert "16 waiting (16 normal), 0 for a later time, 4 running, 0 failed" in queue
    assert "Ready is True: tasks are accepted and served (Accepting)" in queue
    assert "pool pool: stub from 0 to 2 workers: " in queue
    assert "ScalingLimited is True" in said("pool", "pool")
    assert "stub (healthy) has 2 workers" in said("endpoint", "pool/stub")
    assert "before it" in said("task", "b-19")
    stub_model.let_go()
