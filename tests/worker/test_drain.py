"""SIGTERM in the middle of calls: what fits the grace period finishes, the rest goes back unburnt."""

import signal

from taskfleet.core.settlement import Claim
from taskfleet.core.task import TaskState
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import MODEL, worker_process


async def claim_all(work: Work, count: int) -> Claim:
    return await work.store.claim(work.queue, "another", [MODEL], count)


async def test_running_calls_finish_and_waiting_tasks_stay(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open()
    ids = await work.submit(*(f"task-{number}" for number in range(10)))
    model.hold()
    with worker_process(store_url, work.queue, model.url, concurrency=3, name="w1") as worker:
        await eventually(lambda: model.inflight == 3, "three calls to run")
        worker.signal(signal.SIGTERM)
        await worker.says("draining")
        assert [report.draining for report in await work.store.workers(work.queue)] == [True]
        model.let_go()
        assert await worker.exit_code() == 0
    assert await work.states(ids) == {"completed": 3, "pending": 7}
    assert await work.store.workers(work.queue) == []
    assert model.calls.total() == 3


async def test_what_does_not_fit_the_grace_period_goes_back_unburnt(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open(leaseDuration="60s")
    await work.submit("slow")
    model.hold()
    with worker_process(store_url, work.queue, model.url, grace=2.2) as worker:
        await eventually(lambda: model.inflight == 1, "the call to run")
        worker.signal(signal.SIGTERM)
        assert await worker.exit_code() == 0
        assert worker.said("handing back what does not fit the grace period")
    await eventually(lambda: model.hung_up == 1, "the connection of the call to be closed")
    claim = await claim_all(work, 1)
    assert [(task.id, task.attempt) for task in claim.tasks] == [("slow", 1)]


async def test_a_second_signal_hands_back_at_once(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open(leaseDuration="60s")
    ids = await work.submit("slow-1", "slow-2")
    model.hold()
    with worker_process(store_url, work.queue, model.url, grace=3600) as worker:
        await eventually(lambda: model.inflight == 2, "both calls to run")
        worker.signal(signal.SIGTERM)
        await worker.says("draining")
        worker.signal(signal.SIGINT)
        assert await worker.exit_code() == 0
    views = await work.views(ids)
    assert [view.state for view in views] == [TaskState.PENDING, TaskState.PENDING]
    assert sorted(task.attempt for task in (await claim_all(work, 2)).tasks) == [1, 1]


async def test_an_idle_worker_leaves_at_once(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open()
    with worker_process(store_url, work.queue, model.url, grace=3600) as worker:
        await worker.says("working")
        worker.signal(signal.SIGINT)
        assert await worker.exit_code() == 0
