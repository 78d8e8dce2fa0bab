"""Cancelling a running task reaches the model server itself; and a changed policy reaches a running worker."""

from taskfleet.core.task import TaskState
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import worker_process


async def test_cancelling_a_running_task_closes_its_connection(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open(leaseDuration="900ms", taskTimeout="10m")
    model.hold()
    with worker_process(store_url, work.queue, model.url):
        await work.submit("unwanted", "wanted")
        await eventually(lambda: model.inflight == 2, "both calls to run")
        assert await work.store.cancel(work.queue, ["unwanted"]) == {"unwanted": "cancelling"}
        await eventually(lambda: model.hung_up == 1, "the call to be closed at a heartbeat")
        (view,) = await work.finished(["unwanted"])
        assert view.state is TaskState.CANCELLED
        assert model.inflight == 1
        model.let_go()
        (view,) = await work.finished(["wanted"])
        assert view.state is TaskState.COMPLETED
    assert model.calls == {"unwanted": 1, "wanted": 1}


async def test_a_cancelled_task_does_not_wait_for_a_heartbeat(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open(leaseDuration="10m", taskTimeout="10m")  # of which a third is the time between two heartbeats
    model.hold()
    with worker_process(store_url, work.queue, model.url):
        await work.submit("unwanted")
        await eventually(lambda: model.inflight == 1, "the call to run")
        await work.store.cancel(work.queue, ["unwanted"])
        await eventually(lambda: model.hung_up == 1, "the call to be closed before one")
        model.let_go()


async def test_a_held_queue_gives_nothing_until_it_is_released(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open(stopPolicy="Hold")
    with worker_process(store_url, work.queue, model.url) as worker:
        await worker.says("working")
        ids = await work.submit("a", "b")
        assert await work.states(ids) == {"pending": 2}
        await work.open()
        await work.finished(ids)
    assert model.calls == {"a": 1, "b": 1}


async def test_a_worker_follows_a_changed_policy(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open(taskTimeout="60s", retry={"maxAttempts": 1})
    with worker_process(store_url, work.queue, model.url):
        await work.finished(await work.submit("before"))
        await work.open(taskTimeout="200ms", retry={"maxAttempts": 1})
        model.set_fault("hang")
        (view,) = await work.finished(await work.submit("after"))
    assert view.error is not None
    assert view.error.code == "timeout"
