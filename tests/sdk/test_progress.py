"""How far a task is: told by a handler or an agent, heard wherever the queue is looked at."""

import asyncio

import pytest

from taskfleet import HandlerTask, ParallelTaskQueue, Progress
from taskfleet.core import events
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.sdk.conftest import Make
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


async def test_progress_of_a_worker_elsewhere_is_heard(store: Store, store_url: str, queue: QueueKey) -> None:
    await store.put_policy(queue, quick_policy(leaseDuration="60s"))
    news: list[Progress] = []
    async with ParallelTaskQueue(url=store_url, queue=str(queue)) as here:
        here.on_progress(news.append)
        mine = await here.submit("mine")
        (task,) = (await store.claim(queue, "elsewhere", [MODEL], 1)).tasks
        assert await store.progress(queue, mine, task.fence, events.Progress(0.25, "a quarter"))
        await eventually(lambda: news, "the first news")
        assert await store.progress(queue, mine, task.fence, events.Progress(None, "nearly"))
        await eventually(lambda: len(news) == 2, "the second news")
    assert [(one.task, one.fraction, one.message) for one in news] == [(mine, 0.25, "a quarter"), (mine, 0.0, "nearly")]


async def test_progress_of_others_tasks_is_not_ours(store: Store, store_url: str, queue: QueueKey) -> None:
    await store.put_policy(queue, quick_policy(leaseDuration="60s"))
    news: list[Progress] = []
    async with (
        ParallelTaskQueue(url=store_url, queue=str(queue)) as here,
        ParallelTaskQueue(url=store_url, queue=str(queue)) as there,
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
