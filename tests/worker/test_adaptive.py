"""Fewer calls at once while the endpoint refuses, and as many as configured again when it does not."""

from taskfleet.core.concurrency import LATE_SECONDS
from taskfleet.core.task import TaskState
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import worker_process
from tests.worker.test_metrics import scrape, value


async def test_a_refusal_halves_the_slots_and_answers_bring_them_back(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open(leaseDuration="1s", retry={"maxAttempts": 1, "initialDelay": "10ms", "maxDelay": "10ms"})
    model.latency = 0.05
    with worker_process(store_url, work.queue, model.url, concurrency=8, port="0") as worker:
        port = await worker.port()
        await worker.says("working")

        async def slots() -> float:
            return value((await scrape(port))[1], "worker_slots")

        assert await slots() == 8
        model.set_fault("429", times=1)
        refused = await work.submit("refused")
        await eventually(lambda: model.calls["refused"] == 1, "the call that is refused")
        await work.finished(refused)
        assert await slots() == 4
        model.hold()
        ids = await work.submit(*(f"task-{number}" for number in range(60)))
        await eventually(lambda: model.inflight == 4, "the slots to be filled")

        async def is_reported() -> bool:
            return [report.slots for report in await work.store.workers(work.queue)] == [4]

        await eventually(is_reported, "the worker to report its slots")
        assert model.inflight == 4
        model.let_go()
        views = await work.finished([*refused, *ids])
        assert await slots() == 8
        model.hold()
        more = await work.submit(*(f"more-{number}" for number in range(9)))
        await eventually(lambda: model.inflight == 8, "as many calls at once as configured")
        model.let_go()
        await work.finished(more)
        model.set_fault("503", times=1)
        await work.finished(await work.submit("overloaded"))
        assert await slots() < 8
    assert [(view.state, view.attempts) for view in views] == [(TaskState.COMPLETED, 1)] * 61


async def test_answers_that_nearly_all_come_late_take_slots_away(work: Work, model: ModelStub, store_url: str) -> None:
    """Late is five times as long as the fastest of that length, and five seconds longer: the test takes as long."""
    await work.open(leaseDuration="10s", retry={"maxAttempts": 1})
    with worker_process(store_url, work.queue, model.url, concurrency=10, port="0") as worker:
        port = await worker.port()
        await work.finished(await work.submit(*(f"quick-{number}" for number in range(10))))
        model.latency = LATE_SECONDS + 0.3
        views = await work.finished(await work.submit(*(f"later-{number}" for number in range(10))))
        assert value((await scrape(port))[1], "worker_slots") == 8
    assert {view.state for view in views} == {TaskState.COMPLETED}


async def test_calls_that_nearly_all_get_no_answer_in_time_take_slots_away(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open(taskTimeout="1s", retry={"maxAttempts": 1})
    with worker_process(store_url, work.queue, model.url, concurrency=10, port="0") as worker:
        port = await worker.port()
        model.hold()
        views = await work.finished(await work.submit(*(f"task-{number}" for number in range(10))))
        assert value((await scrape(port))[1], "worker_slots") == 8
    assert {view.error.code for view in views if view.error} == {"timeout"}
