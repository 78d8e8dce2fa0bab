"""SIGKILL in the middle of calls, and calls longer than the lease: every task completes exactly once."""

import signal

import pytest

from taskfleet.core.task import TaskState
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import worker_process


@pytest.mark.parametrize("partitions", [1, 4])
async def test_the_tasks_of_a_killed_worker_run_again_when_its_leases_end(
    work: Work, model: ModelStub, store_url: str, partitions: int
) -> None:
    await work.open(leaseDuration="2s", partitions=partitions)
    ids = await work.submit(*(f"task-{number}" for number in range(6)))
    model.hold()
    with worker_process(store_url, work.queue, model.url, concurrency=4) as first:
        await eventually(lambda: model.inflight == 4, "four calls to run")
        doomed = set(model.calls)
        with worker_process(store_url, work.queue, model.url, concurrency=8) as second:
            await second.says("working")
            await eventually(lambda: model.inflight == 6, "the second worker to run the other two")
            first.signal(signal.SIGKILL)
            await eventually(lambda: all(model.calls[task] == 2 for task in doomed), "the four to run again")
            model.let_go()
            views = await work.finished(ids)
            second.signal(signal.SIGTERM)
            assert await second.exit_code() == 0
    assert [view.state for view in views] == [TaskState.COMPLETED] * 6
    assert {view.id: view.attempts for view in views} == {task: 2 if task in doomed else 1 for task in ids}
    assert [view.output for view in views] == [f"echo: {task}" for task in ids]
    assert model.calls == {task: 2 if task in doomed else 1 for task in ids}
    stats = await work.store.stats(work.queue)
    assert stats is not None
    assert (stats.completed, stats.running, stats.pending) == (6, 0, 0)


async def test_a_task_that_runs_when_two_workers_are_killed_is_set_aside(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open(leaseDuration="1s")
    ids = await work.submit("deadly")
    model.hold()
    for death in (1, 2):
        with worker_process(store_url, work.queue, model.url) as worker:
            await eventually(lambda number=death: model.calls["deadly"] == number, f"call {death}")
            worker.signal(signal.SIGKILL)

    async def set_aside() -> bool:
        await work.store.tick(work.queue)
        return await work.states(ids) == {"failed": 1}

    await eventually(set_aside, "the task to be set aside")
    (view,) = await work.views(ids)
    assert view.error is not None and view.error.code == "poison"


async def test_a_call_longer_than_its_lease_runs_once(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open(leaseDuration="1200ms")
    model.latency = 3.0
    with (
        worker_process(store_url, work.queue, model.url) as first,
        worker_process(store_url, work.queue, model.url) as second,
    ):
        await first.says("working")
        await second.says("working")
        views = await work.finished(await work.submit("slow-1", "slow-2", "slow-3"))
    assert [view.state for view in views] == [TaskState.COMPLETED] * 3
    assert [view.attempts for view in views] == [1, 1, 1]
    assert model.calls == {"slow-1": 1, "slow-2": 1, "slow-3": 1}


async def test_a_stopped_worker_drops_the_results_of_leases_that_it_lost(
    work: Work, model: ModelStub, store_url: str
) -> None:
    """SIGSTOP for longer than the lease, as a suspended machine: the other worker's result is the only one."""
    await work.open(leaseDuration="1s")
    await work.submit("task")
    model.hold()
    with worker_process(store_url, work.queue, model.url, name="sleeper") as sleeper:
        await eventually(lambda: model.inflight == 1, "the call to run")
        sleeper.signal(signal.SIGSTOP)
        with worker_process(store_url, work.queue, model.url, name="other") as other:
            await eventually(lambda: model.inflight == 2, "the other worker to run it too")
            model.let_go()
            (view,) = await work.finished(["task"])
            assert (view.worker, view.attempts) == ("other", 2)
            sleeper.signal(signal.SIGCONT)
            await eventually(
                lambda: sleeper.said("refused by its fence") or sleeper.said("a lease was lost"),
                "the sleeper to see that it is too late",
            )
            other.signal(signal.SIGTERM)
            assert await other.exit_code() == 0
    (view,) = await work.views(["task"])
    assert (view.worker, view.attempts) == ("other", 2)
    stats = await work.store.stats(work.queue)
    assert stats is not None
    assert stats.completed == 1
