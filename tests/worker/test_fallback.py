"""A worker serves another model's tasks while the policy says so, and the result says who answered."""

from dataclasses import replace

import orjson

from taskfleet.api.resultline import result_line
from taskfleet.core.task import NewTask, TaskState
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import MODEL, quick_policy, worker_process

POLICY = quick_policy(models=[{"name": "large", "fallbacks": [MODEL]}, {"name": MODEL}])
BY_FALLBACK = replace(POLICY, fallbacks={"large": MODEL})


def large(*names: str) -> list[NewTask]:
    return [
        NewTask(name, "large", orjson.dumps({"messages": [{"role": "user", "content": name}], "parameters": {}}))
        for name in names
    ]


async def test_tasks_fall_back_when_the_policy_says_so_and_stay_where_they_are_when_it_does_not(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.store.put_policy(work.queue, POLICY)
    await work.store.submit(work.queue, large("first"))
    remote = {"remoteNames": {MODEL: "small-v2"}}
    with worker_process(store_url, work.queue, model.url, endpoint=remote, port="0") as worker:
        await worker.says("working")
        await work.finished(await work.submit("own"))
        assert await work.states(["first"]) == {"pending": 1}

        await work.store.put_policy(work.queue, BY_FALLBACK)
        (view,) = await work.finished(["first"])
        assert (view.state, view.model, view.requested_model) == (TaskState.COMPLETED, MODEL, "large")
        assert (view.endpoint, model.requests[-1]["body"]["model"]) == ("stub", "small-v2")
        line = result_line(view)
        assert (line["model"], line["requested_model"], line["endpoint"]) == (MODEL, "large", "stub")

        await work.store.put_policy(work.queue, POLICY)
        (own,) = await work.finished(await work.submit("own again"))
        await work.store.submit(work.queue, large("second"))
        await work.finished(await work.submit("and again"))
        assert await work.states(["second"]) == {"pending": 1}
    assert (own.model, own.requested_model) == (MODEL, MODEL)


async def test_what_fails_by_fallback_says_who_failed_it(work: Work, model: ModelStub, store_url: str) -> None:
    await work.store.put_policy(work.queue, BY_FALLBACK)
    model.set_fault("422")
    await work.store.submit(work.queue, large("bad"))
    with worker_process(store_url, work.queue, model.url):
        (view,) = await work.finished(["bad"])
    assert (view.state, view.model, view.requested_model) == (TaskState.FAILED, MODEL, "large")
    await work.store.redrive(work.queue, ["bad"])
    (again,) = await work.views(["bad"])
    assert (again.state, again.model, again.requested_model) == (TaskState.PENDING, "large", "large")


async def test_a_task_claimed_while_its_fallback_ended_goes_back_unburnt(
    work: Work, model: ModelStub, store_url: str
) -> None:
    """The policy changes while the worker has no free slot: its next claim is for the lanes that it knew."""
    await work.store.put_policy(work.queue, BY_FALLBACK)
    model.hold()
    with worker_process(store_url, work.queue, model.url, concurrency=1):
        await work.submit("busy")
        await eventually(lambda: model.inflight == 1, "the only slot to be busy")
        await work.store.put_policy(work.queue, POLICY)
        await work.store.submit(work.queue, large("late"))
        model.let_go()
        await work.finished(["busy", *await work.submit("own")])
        (late,) = await work.views(["late"])
    assert (late.state, late.attempts, model.calls["late"]) == (TaskState.PENDING, 0, 0)
