"""What is told of a task in a program: how far it is, and its answer piece by piece."""

import asyncio

import pytest

from taskfleet import HandlerTask, ParallelTaskQueue, Progress
from taskfleet.core import events
from taskfleet.core.errors import InputError, NotFound, NotRunning
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.sdk.conftest import Make
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.workerprocess import MODEL, quick_policy


async def test_a_running_task_shows_how_far_its_handler_is(make: Make) -> None:
    go_on = asyncio.Event()

    async def half(task: HandlerTask) -> str:
        task.progress(0.5, "half")
        await go_on.wait()
        return "done"

    news: list[Progress] = []
    queue = await make(handler=half)
    queue.on_progress(news.append)
    task_id = await queue.submit("x")

    async def shown() -> bool:
        return (await queue.get_task(task_id)).progress == {"fraction": 0.5, "message": "half"}

    await eventually(shown, "the progress to be shown")
    go_on.set()
    task = await queue.wait_for_task(task_id)
    assert task.progress is None
    assert [(one.status, one.fraction, one.message) for one in news] == [
        ("running", 0.5, "half"),
        ("completed", 1.0, ""),
    ], "heard once, though it is in the store too"


async def test_progress_of_a_worker_elsewhere_is_heard(store: Store, url: str, queue: QueueKey) -> None:
    await store.put_policy(queue, quick_policy(leaseDuration="60s"))
    news: list[Progress] = []
    async with ParallelTaskQueue(url=url, queue=str(queue)) as here:
        here.on_progress(news.append)
        mine = await here.submit("mine")
        (task,) = (await store.claim(queue, "elsewhere", [MODEL], 1)).tasks
        assert await store.progress(queue, mine, task.fence, events.Progress(0.25, "a quarter"))
        await eventually(lambda: news, "the first news")
        assert await store.progress(queue, mine, task.fence, events.Progress(None, "nearly"))
        await eventually(lambda: len(news) == 2, "the second news")
    assert [(one.task, one.fraction, one.message) for one in news] == [(mine, 0.25, "a quarter"), (mine, 0.0, "nearly")]


async def test_progress_of_others_tasks_is_not_ours(store: Store, url: str, queue: QueueKey) -> None:
    await store.put_policy(queue, quick_policy(leaseDuration="60s"))
    news: list[Progress] = []
    async with (
        ParallelTaskQueue(url=url, queue=str(queue)) as here,
        ParallelTaskQueue(url=url, queue=str(queue)) as there,
    ):
        here.on_progress(news.append)
        for owner in (there, here):
            task_id = await owner.submit("x")
            (task,) = (await store.claim(queue, "elsewhere", [MODEL], 1)).tasks
            await store.progress(queue, task_id, task.fence, events.Progress(0.5))
        await eventually(lambda: news, "news of ours")
        assert [one.task for one in news] == [task_id]


@pytest.mark.parametrize(("fraction", "shown"), [(-1.0, 0.0), (7.0, 1.0)])
async def test_a_fraction_beyond_the_ends_is_the_end(make: Make, fraction: float, shown: float) -> None:
    async def wild(task: HandlerTask) -> str:
        task.progress(fraction, "x" * 5000)
        return "done"

    news: list[Progress] = []
    queue = await make(handler=wild)
    queue.on_progress(news.append)
    await queue.wait_for_task(await queue.submit("x"))
    assert (news[0].fraction, len(news[0].message)) == (shown, 1000)


async def test_an_answer_is_read_piece_by_piece(make: Make, model: ModelStub) -> None:
    queue = await make([{"url": model.url, "models": ["stub"]}])
    model.chunk_latency = 0.03
    task_id = await queue.submit("tell me a story in many pieces", stream=True)
    seen = [event async for event in queue.events(task_id)]
    said = [event.data["choices"][0]["delta"].get("content") or "" for event in seen if event.kind == "chunk"]
    assert "".join(said) == "echo: tell me a story in many pieces"
    assert len(said) > 3
    assert (seen[0].kind, seen[-1].kind, seen[-1].data["state"]) == ("started", "finished", "completed")
    assert [event async for event in queue.events(task_id, after=seen[-2].id)] == seen[-1:]


async def test_a_handlers_text_is_one_piece(make: Make) -> None:
    async def shout(task: HandlerTask) -> str:
        return task.prompt.upper()

    queue = await make(handler=shout)
    seen = [event async for event in queue.events(await queue.submit("hi", stream=True))]
    assert [event.kind for event in seen] == ["started", "chunk", "finished"]
    assert seen[1].data["choices"] == [{"index": 0, "delta": {"content": "HI"}, "finish_reason": "stop"}]


async def test_a_reader_hears_that_its_queue_was_stopped(make: Make) -> None:
    queue = await make(handler=_for_ever)
    events = queue.events(await queue.submit("x", stream=True))
    assert (await anext(events)).kind == "started"
    reading = asyncio.ensure_future(anext(events))
    await queue.stop(timeout=0)
    with pytest.raises(NotRunning):
        await reading


async def _for_ever(_task: HandlerTask) -> str:
    await asyncio.Event().wait()
    return ""


async def test_there_are_no_events_of_what_is_no_task(make: Make) -> None:
    queue = await make(handler=_for_ever)
    with pytest.raises(NotFound):
        await anext(queue.events("nobody"))
    with pytest.raises(InputError, match="not the id of an event"):
        await anext(queue.events(await queue.submit("x", delay=60), after="yesterday"))
    with pytest.raises(InputError, match="stream"):
        await queue.submit("x", stream="yes")  # type: ignore[arg-type]
