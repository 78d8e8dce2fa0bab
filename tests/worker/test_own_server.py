"""A worker beside a model server of its own: nothing is claimed before it answers, nothing is burnt when it dies."""

import signal

from taskfleet.core.task import TaskState
from tests.support.apiserver import free_port
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import worker_process


def beside(port: int) -> dict[str, object]:
    """The endpoint as the controller hands it to a worker: no URL, its server listens on ``port`` of this machine."""
    return {"url": None, "server": {"image": "server:1", "port": port, "healthPath": "/v1/models"}}


async def test_nothing_is_claimed_before_the_server_answers(work: Work, store_url: str) -> None:
    await work.open()
    port = free_port()
    with worker_process(store_url, work.queue, "", endpoint=beside(port)) as worker:
        ids = await work.submit(*(f"task-{number}" for number in range(5)))
        await worker.says("its model server does not answer yet: connection refused")
        stats = await work.store.stats(work.queue)
        assert stats is not None
        assert (stats.pending, stats.running) == (5, 0)
        async with ModelStub(port=port):
            views = await work.finished(ids)
    assert [(view.state, view.attempts) for view in views] == [(TaskState.COMPLETED, 1)] * 5


async def test_a_server_that_dies_burns_no_attempt_and_its_tasks_wait_in_the_queue(work: Work, store_url: str) -> None:
    await work.open(retry={"maxAttempts": 1, "initialDelay": "10ms", "maxDelay": "10ms"})
    stub = await ModelStub(latency=0.05).start()
    with worker_process(store_url, work.queue, "", endpoint=beside(stub.port)):
        ids = await work.submit(*(f"task-{number}" for number in range(40)))
        await eventually(lambda: stub.answered.total() >= 8, "some tasks to be done")
        await stub.stop()

        async def all_are_back() -> bool:
            stats = await work.store.stats(work.queue)
            return stats is not None and stats.running == 0

        await eventually(all_are_back, "the tasks to be handed back")
        async with ModelStub(port=stub.port):
            views = await work.finished(ids)
    assert [(view.state, view.attempts) for view in views] == [(TaskState.COMPLETED, 1)] * 40


async def test_a_worker_that_waits_for_its_server_ends_when_it_is_told_to(work: Work, store_url: str) -> None:
    await work.open()
    with worker_process(store_url, work.queue, "", endpoint=beside(free_port())) as worker:
        await worker.says("its model server does not answer yet")
        worker.signal(signal.SIGTERM)
        assert await worker.exit_code() == 0
