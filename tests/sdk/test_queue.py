"""What a program does with a queue, the same in this process and against a store."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskfleet import HandlerTask, Progress, TaskPriority
from taskfleet.core.errors import DuplicateTask, NotFound, WaitTimeout
from taskfleet.sdk import DatasetRun
from tests.sdk.conftest import Make
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually


async def echo(task: HandlerTask) -> str:
    return f"echo: {task.prompt}"


class Gate:
    """A handler whose tasks wait until they are let go; it knows who began and who was cancelled."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.cancelled: list[str] = []
        self.open = asyncio.Event()

    async def __call__(self, task: HandlerTask) -> str:
        self.began.append(task.prompt)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.append(task.prompt)
            raise
        return task.prompt


async def test_a_task_that_was_waited_for_reads_as_attributes_and_as_a_mapping(make: Make, model: ModelStub) -> None:
    queue = await make([{"url": model.url, "models": ["stub"], "name": "own"}])
    task_id = await queue.submit("hello", parameters={"max_tokens": 5}, metadata={"row": 7})
    task = await queue.wait_for_task(task_id)
    assert task.status == task["status"] == "completed"
    assert task.result is not None
    assert task["result"]["response"] == task.result.response == task.response == "echo: hello"
    assert task["result"]["usage"] == {"input_tokens": 7, "output_tokens": 3}
    assert (task.result.model, task.result.endpoint) == ("stub", "own")
    assert task.duration is not None and task["duration"] > 0
    assert task.error is None
    assert task.metadata == {"row": 7}
    assert dict(task)["id"] == task_id
    assert model.requests[0]["body"]["max_tokens"] == 5
    assert await queue.get_status(task_id) == "completed"
    with pytest.raises(KeyError, match="there are id, status"):
        task["colour"]


async def test_a_batch_comes_back_in_its_order_by_ids_and_by_name(make: Make) -> None:
    queue = await make(handler=echo)
    batch = await queue.submit_batch([f"p{number}" for number in range(250)])
    results = await queue.wait_for_batch(batch)
    assert [task.response for task in results] == [f"echo: p{number}" for number in range(250)]
    assert [task.id for task in await queue.wait_for_batch(batch.id)] == batch
    assert {task.batch for task in results} == {batch.id}
    assert await queue.wait_for_batch([]) == []


async def test_urgent_tasks_overtake(make: Make) -> None:
    served: list[str] = []

    async def note(task: HandlerTask) -> None:
        served.append(task.prompt)

    queue = await make(handler=note, max_workers=1)
    await queue.submit_batch(
        {"prompt": f"{priority.label} {number}", "priority": priority}
        for number in (1, 2)
        for priority in reversed(TaskPriority)
    )
    await queue.join(timeout=10)
    assert served == [f"{priority.label} {number}" for priority in TaskPriority for number in (1, 2)]


async def test_a_handler_sees_its_whole_task(make: Make) -> None:
    seen: list[dict[str, Any]] = []

    async def look(task: HandlerTask) -> list[int]:
        seen.append(dict(task))
        return [1, 2]

    queue = await make(handler=look)
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    task_id = await queue.submit(messages, parameters={"x": 1}, metadata={"y": 2}, priority="high", model="stub")
    assert (await queue.wait_for_task(task_id)).response == [1, 2]
    assert seen[0]["prompt"] == "hi"
    assert seen[0]["messages"] == messages
    assert (seen[0]["id"], seen[0]["model"], seen[0]["attempt"]) == (task_id, "stub", 1)
    assert (seen[0]["parameters"], seen[0]["metadata"]) == ({"x": 1}, {"y": 2})
    assert seen[0]["priority"] is TaskPriority.HIGH


async def test_what_fails_is_tried_again_and_then_listed_with_error_time_and_worker(make: Make) -> None:
    attempts: Counter[str] = Counter()

    async def sometimes(task: HandlerTask) -> str:
        attempts[task.prompt] += 1
        if task.prompt == "never" or task.attempt == 1:
            raise ValueError(f"no {task.prompt}")
        return "yes"

    queue = await make(handler=sometimes)
    batch = await queue.submit_batch(["once", "never"])
    once, never = await queue.wait_for_batch(batch)
    assert (once.status, once.attempts, once.response) == ("completed", 2, "yes")
    assert (never.status, never.attempts, never.result) == ("failed", 2, None)
    assert str(never.error) == "ValueError: no never"
    assert attempts == {"once": 2, "never": 2}
    (failure,) = await queue.errors()
    assert failure.task == failure["task"] == batch[1]
    assert failure.error.code == "handler_error"
    assert abs(failure.time - datetime.now(UTC)) < timedelta(minutes=5)
    assert failure.worker is not None and failure.worker.startswith("handler-")


async def test_a_waiting_task_is_cancelled_at_once_and_a_running_one_is_stopped(make: Make) -> None:
    gate = Gate()
    queue = await make(handler=gate, max_workers=1, policy={"leaseDuration": "1s"})
    running, waiting = await queue.submit("running"), await queue.submit("waiting")
    await eventually(lambda: gate.began == ["running"], "the first task to begin")
    assert await queue.cancel(waiting)
    assert (await queue.wait_for_task(waiting, timeout=5)).status == "cancelled"
    assert await queue.cancel(running)
    assert (await queue.wait_for_task(running, timeout=5)).status == "cancelled"
    assert gate.cancelled == ["running"]
    assert not await queue.cancel(running), "it has ended"
    with pytest.raises(NotFound, match="another queue"):
        await queue.cancel("no-such-task")


async def test_cancelling_a_running_task_closes_its_call(make: Make, model: ModelStub) -> None:
    model.hold()
    queue = await make([{"url": model.url, "models": ["stub"]}], policy={"leaseDuration": "1s"})
    task_id = await queue.submit("long")
    await eventually(lambda: model.inflight == 1, "the call")
    await queue.cancel(task_id)
    await eventually(lambda: model.hung_up == 1, "the call to be closed")
    assert (await queue.wait_for_task(task_id)).status == "cancelled"


async def test_all_open_tasks_are_cancelled_together(make: Make) -> None:
    gate = Gate()
    queue = await make(handler=gate, max_workers=2, policy={"leaseDuration": "1s"})
    batch = await queue.submit_batch([f"p{number}" for number in range(20)])
    await eventually(lambda: len(gate.began) == 2, "two tasks to begin")
    assert await queue.cancel_all() == 20
    await queue.join(timeout=10)
    assert {task.status for task in await queue.wait_for_batch(batch)} == {"cancelled"}
    assert len(gate.began) == 2
    assert await queue.cancel_all() == 0


async def test_news_come_as_tasks_end_and_as_a_handler_reports(make: Make) -> None:
    async def half(task: HandlerTask) -> str:
        task.progress(0.5, "half")
        if task.prompt == "bad":
            raise ValueError("boo")
        return "done"

    news: list[Progress] = []
    queue = await make(handler=half)
    queue.on_progress(news.append)
    good, bad = await queue.submit("good"), await queue.submit("bad")
    await queue.join(timeout=10)
    assert (good, "running", 0.5, "half") in [(one.task, one.status, one.fraction, one.message) for one in news]
    ended = {one.task: one for one in news if one.status != "running"}
    assert ended[good]["status"] == "completed"
    assert (ended[bad].status, ended[bad].message) == ("failed", "ValueError: boo")
    last = news[-1]
    assert (last.submitted, last.completed, last.failed, last.cancelled) == (2, 1, 1, 0)


async def test_the_figures_count_states_time_tokens_models_and_endpoints(make: Make, model: ModelStub) -> None:
    queue = await make([{"url": model.url, "models": ["stub"], "name": "own"}])
    model.set_fault("400-openai", containing="wrong")
    await queue.submit_batch([*(f"p{number}" for number in range(9)), "wrong"])
    await queue.submit("later", delay=100)
    batch = await queue.submit_batch(["x"])
    await queue.wait_for_batch(batch)
    stats = await queue.get_stats()
    await eventually(lambda: stats.completed == 10, "all to end")
    assert (stats.submitted, stats.completed, stats.failed) == (12, 10, 1)
    assert (stats["pending"], stats["running"], stats["cancelled"]) == (1, 0, 0)
    assert stats.success_rate == pytest.approx(10 / 11)
    assert stats.avg_time > 0
    assert stats.throughput > 0
    assert stats.tokens == {"input": 70, "output": 30, "total": 100}
    assert stats.models["stub"]["completed"] == stats.endpoints["own"]["completed"] == 10
    assert stats.endpoints["own"]["tokens"]["total"] == 100


async def test_a_delay_and_a_deadline_hold(make: Make) -> None:
    gate = Gate()
    queue = await make(handler=gate, max_workers=1)
    blocker = await queue.submit("blocker")
    await eventually(lambda: gate.began == ["blocker"], "it to begin")
    late = await queue.submit("late", deadline=datetime.now(UTC) + timedelta(seconds=0.3))
    delayed = await queue.submit("delayed", delay=0.5)
    assert (await queue.wait_for_task(late, timeout=10)).status == "expired"
    gate.open.set()
    assert (await queue.wait_for_task(delayed, timeout=10)).status == "completed"
    assert (await queue.wait_for_task(blocker)).status == "completed"
    assert gate.began == ["blocker", "delayed"]


async def test_a_wait_that_is_too_short_says_so_and_the_task_goes_on(make: Make) -> None:
    gate = Gate()
    queue = await make(handler=gate)
    task_id = await queue.submit("slow")
    for timeout in (0, 0.05):
        with pytest.raises(WaitTimeout, match=rf"task {task_id} did not end within .*wait again"):
            await queue.wait_for_task(task_id, timeout=timeout)
    with pytest.raises(TimeoutError, match=rf"task {task_id} did not end within 0 s"):
        await queue.wait_for_batch([task_id], timeout=0)
    with pytest.raises(WaitTimeout, match="1 tasks did not end"):
        await queue.join(timeout=0)
    gate.open.set()
    assert (await queue.wait_for_task(task_id, timeout=None)).response == "slow"
    assert (await queue.wait_for_task(task_id, timeout=0)).response == "slow", "0 looks once"
    assert await queue.wait_for_batch([], timeout=0) == []
    await queue.join()
    await queue.join(timeout=0)


async def next_event(events: AsyncIterator[Any]) -> Any:
    return await anext(events)


async def all_of(run: DatasetRun[Any]) -> Any:
    return await run


async def test_a_cancelled_wait_leaves_nothing_behind_and_the_task_goes_on(make: Make) -> None:
    gate = Gate()
    queue = await make(handler=gate)
    task_id = await queue.submit("slow", stream=True)
    await eventually(lambda: gate.began == ["slow"], "it to begin")
    told = await anext(queue.events(task_id))
    ways: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        lambda: queue.wait_for_task(task_id, timeout=None),
        lambda: queue.wait_for_batch([task_id], timeout=60),
        queue.join,
        lambda: next_event(queue.events(task_id, after=told.id)),
        lambda: all_of(queue.process_dataset(["slow too"])),
    ]
    for _ in range(2):  # the first who wait bring about what stays for those after them
        before = asyncio.all_tasks()
        waits = [asyncio.create_task(wait()) for wait in ways for _ in range(3)]
        await eventually(lambda: len(asyncio.all_tasks() - before) > len(waits), "the waits to wait")  # noqa: B023
        for wait in waits:
            wait.cancel()
        ends = await asyncio.gather(*waits, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
    await eventually(lambda: asyncio.all_tasks() <= before, "the waits to be gone")
    gate.open.set()
    assert (await queue.wait_for_task(task_id)).status == "completed"


async def test_a_cancelled_submission_leaves_nothing_that_runs(make: Make) -> None:
    gate = Gate()
    queue = await make(handler=gate, max_workers=1)
    await queue.submit("keeps the worker busy")
    await eventually(lambda: len(gate.began) == 1, "it to begin")
    for turns in range(6):  # of the loop: it is cancelled before, while and after it is on its way
        for submission in (queue.submit("x"), queue.submit_batch(["x", "y"])):
            submitting = asyncio.create_task(submission)
            for _ in range(turns):
                await asyncio.sleep(0)
            submitting.cancel()
            await asyncio.gather(submitting, return_exceptions=True)
            if submitting.cancelled():
                assert (await queue.get_stats()).pending == 0
            else:
                ids = submitting.result()
                for task_id in [ids] if isinstance(ids, str) else ids:
                    await queue.cancel(task_id)
    gate.open.set()
    await queue.join(timeout=10)
    assert gate.began == ["keeps the worker busy"]


async def test_an_id_may_be_chosen_once(make: Make) -> None:
    queue = await make(handler=echo)
    assert await queue.submit("a", task_id="mine") == "mine"
    with pytest.raises(DuplicateTask, match="'mine' is already in this queue"):
        await queue.submit("b", task_id="mine")
    assert (await queue.wait_for_task("mine")).response == "echo: a"


async def test_a_task_of_another_queue_is_not_found(make: Make) -> None:
    queue = await make(handler=echo)
    for look in (queue.wait_for_task, queue.get_task, queue.get_status):
        with pytest.raises(NotFound, match="submitted to another queue"):
            await look("1a2153c03685a770e4f00d3")
    with pytest.raises(NotFound, match="give what submit_batch returned"):
        await queue.wait_for_batch("no-batch")


async def test_a_plain_function_runs_in_a_thread_and_many_do_at_once(make: Make) -> None:
    import threading

    barrier = threading.Barrier(12, timeout=10)

    def together(task: HandlerTask) -> str:
        barrier.wait()
        return threading.current_thread().name

    queue = await make(handler=together, max_workers=12)
    results = await queue.wait_for_batch(await queue.submit_batch([f"p{number}" for number in range(12)]))
    assert {task.status for task in results} == {"completed"}
    assert len({task.response for task in results}) == 12
