"""Endpoint trouble seen from the queue: an outage fails nothing, a poison prompt ends, a bad request fails at once."""

from functools import partial

import pytest

from taskfleet.core.task import TaskState, Usage
from tests.support.modelstub import LLAMACPP_400, ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import worker_process


def has_run(model: ModelStub, prompt: str, times: int) -> bool:
    return model.calls[prompt] == times


@pytest.mark.parametrize("fault", ["reset", "200-html", "401"])
async def test_an_outage_fails_nothing_and_burns_nothing(
    fault: str, work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open(retry={"maxAttempts": 1, "initialDelay": "10ms", "maxDelay": "10ms"})
    model.set_fault(fault)
    with worker_process(store_url, work.queue, model.url) as worker:
        ids = await work.submit(*(f"task-{number}" for number in range(5)))
        await eventually(lambda: model.calls.total() >= 6, "the worker to have tried more often than there are tasks")
        reports = await work.store.workers(work.queue)
        assert worker.running
        model.clear_faults()
        views = await work.finished(ids)
    assert [(view.state, view.attempts) for view in views] == [(TaskState.COMPLETED, 1)] * 5
    assert len(reports) == 1


async def test_a_server_killed_under_load_and_back_fails_nothing(work: Work, store_url: str) -> None:
    await work.open(retry={"maxAttempts": 1, "initialDelay": "10ms", "maxDelay": "10ms"})
    stub = await ModelStub(latency=0.05).start()
    with worker_process(store_url, work.queue, stub.url) as worker:
        ids = await work.submit(*(f"task-{number}" for number in range(40)))
        await eventually(lambda: stub.answered.total() >= 8, "some tasks to be done")
        await stub.stop()
        again = ModelStub(port=stub.port)
        await worker.says("working")

        async def trouble_is_told() -> bool:
            return any("refused the connection" in report.trouble for report in await work.store.workers(work.queue))

        await eventually(trouble_is_told, "the worker to report that the endpoint refuses connections")
        async with again:
            views = await work.finished(ids)
    assert [(view.state, view.attempts) for view in views] == [(TaskState.COMPLETED, 1)] * 40


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_poison_prompt_on_a_healthy_server_fails_after_its_attempts_and_holds_nobody_up(
    concurrency: int, work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open()
    model.set_fault("reset", containing="poison")
    with worker_process(store_url, work.queue, model.url, concurrency=concurrency):
        await work.submit("poison")
        for run in range(1, 5):  # the first trouble might have been an outage: then the three attempts
            await eventually(partial(has_run, model, "poison", run), f"run {run} of the poison prompt")
            (view,) = await work.finished(await work.submit(f"healthy-{run}"))
            assert (view.state, view.attempts) == (TaskState.COMPLETED, 1)
        (poison,) = await work.finished(["poison"])
    assert poison.error is not None
    assert (poison.state, poison.attempts, poison.error.code) == (TaskState.FAILED, 3, "connection_reset")
    assert model.calls["poison"] == 4


async def test_a_bad_request_fails_at_once_with_the_server_s_own_words(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open()
    model.set_fault("400-llamacpp", containing="too long")
    with worker_process(store_url, work.queue, model.url):
        bad, good = await work.finished(await work.submit("too long", "fine"))
    assert bad.error is not None
    assert (bad.state, bad.attempts) == (TaskState.FAILED, 1)
    assert (bad.error.code, bad.error.message, bad.error.status) == ("bad_request", LLAMACPP_400, 400)
    assert (good.state, good.output, good.usage) == (TaskState.COMPLETED, "echo: fine", Usage(7, 3))
    assert (good.endpoint, model.calls["too long"]) == ("stub", 1)


async def test_a_rate_limit_is_waited_for_and_burns_nothing(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open(retry={"maxAttempts": 1})
    model.set_fault("429", after="1", times=3)
    with worker_process(store_url, work.queue, model.url, concurrency=2):
        views = await work.finished(await work.submit("a", "b"))
    assert [(view.state, view.attempts) for view in views] == [(TaskState.COMPLETED, 1)] * 2


async def test_a_conflict_is_retried_and_burns_until_it_fails(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open()
    model.set_fault("409")
    with worker_process(store_url, work.queue, model.url):
        (view,) = await work.finished(await work.submit("task"))
    assert (view.state, view.attempts, model.calls["task"]) == (TaskState.FAILED, 3, 3)


async def test_a_call_that_hangs_ends_with_its_task_timeout(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open(taskTimeout="300ms", retry={"maxAttempts": 2, "initialDelay": "10ms", "maxDelay": "10ms"})
    model.set_fault("hang", containing="stuck")
    with worker_process(store_url, work.queue, model.url):
        stuck, fine = await work.finished(await work.submit("stuck", "fine"))
    assert stuck.error is not None
    assert (stuck.state, stuck.error.code, stuck.attempts) == (TaskState.FAILED, "timeout", 2)
    assert fine.state is TaskState.COMPLETED
    assert model.hung_up == 2
