"""What calls say is told in order, once, and whole: also when the store was away, or gave the task out again."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from taskfleet.core.errors import StoreError, StoreUnreachable
from taskfleet.core.events import EventKind, Publication, TaskEvent
from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import LeasedTask, QueueKey
from taskfleet.store import Store
from taskfleet.telemetry.workermetrics import WorkerMetrics
from taskfleet.worker.storehealth import StoreHealth
from taskfleet.worker.streams import LARGEST_CHUNK, Streams, TaskStream
from tests.support.work import Work
from tests.support.workerprocess import MODEL


class Unsteady:
    """A store whose answers to ``publish`` may be lost, or that refuses it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.lose_answers = 0
        self.refuse: StoreError | None = None
        self.calls = 0

    async def publish(self, queue: QueueKey, publications: Sequence[Publication]) -> list[bool]:
        self.calls += 1
        if self.refuse is not None:
            raise self.refuse
        answers = await self._store.publish(queue, publications)
        if self.lose_answers:
            self.lose_answers -= 1
            raise StoreUnreachable("the answer was lost")
        return answers


@pytest.fixture
def unsteady(store: Store) -> Unsteady:
    return Unsteady(store)


def streams_of(work: Work, store: Any) -> Streams:
    names = {"namespace": "test", "queue": "q", "pool": "pool", "endpoint": "stub", "models": [MODEL]}
    metrics = WorkerMetrics(CollectorRegistry(), **names)  # type: ignore[arg-type]  # mixed values by design
    return Streams(store, work.queue, StoreHealth(metrics, lambda: None))


async def claimed(work: Work) -> LeasedTask:
    (task,) = (await work.store.claim(work.queue, "me", [MODEL], 1)).tasks
    return task


async def begun(work: Work, streams: Streams) -> tuple[LeasedTask, TaskStream]:
    await work.open(leaseDuration="60s")
    await work.submit("task", stream=True)
    task = await claimed(work)
    return task, streams.open(task.id, task.fence, {"endpoint": "here"})


def say(stream: TaskStream, *texts: str) -> None:
    for text in texts:
        stream.said(0, {"content": text}, None)


async def ended(work: Work, task: LeasedTask) -> list[TaskEvent]:
    await work.store.settle(work.queue, [Settlement(task.id, task.fence, Verdict.COMPLETE, output="x")])
    async with asyncio.timeout(10):
        return [event async for event in work.store.events(work.queue, task.id)]


def heard(events: Sequence[TaskEvent]) -> str:
    text = ""
    for event in events:
        if event.kind is EventKind.RESTARTED:
            text = ""
        if event.kind is EventKind.CHUNK:
            text += event.data["choices"][0]["delta"]["content"]
    return text


async def test_what_was_said_between_two_publications_is_one_chunk(work: Work, unsteady: Unsteady) -> None:
    streams = streams_of(work, unsteady)
    task, stream = await begun(work, streams)
    say(stream, "a", "b")
    await streams.flush()
    say(stream, "c", "d", "e")
    await streams.flush()
    await streams.flush()
    events = await ended(work, task)
    assert [event.kind.value for event in events] == ["started", "chunk", "chunk", "finished"]
    assert (heard(events), unsteady.calls) == ("abcde", 2)
    assert events[0].data["endpoint"] == "here"


async def test_a_publication_whose_answer_is_lost_is_told_once(work: Work, unsteady: Unsteady) -> None:
    streams = streams_of(work, unsteady)
    task, stream = await begun(work, streams)
    unsteady.lose_answers = 2
    for text in "ab":
        say(stream, text)
        with pytest.raises(StoreUnreachable):
            await streams.flush()
    say(stream, "c")
    await streams.flush()
    assert heard(await ended(work, task)) == "abc"


async def test_a_task_that_is_given_out_again_to_who_still_runs_it_is_told_from_its_beginning(
    work: Work, unsteady: Unsteady
) -> None:
    streams = streams_of(work, unsteady)
    task, stream = await begun(work, streams)
    say(stream, "to be ", "or not ")
    await streams.flush()
    await work.store.settle(work.queue, [Settlement(task.id, task.fence, Verdict.RELEASE)])
    again = await claimed(work)
    stream.renewed(again.fence)
    say(stream, "to be")
    await streams.flush()
    events = await ended(work, again)
    assert heard(events) == "to be or not to be"
    assert [event.kind.value for event in events].count("restarted") == 1


async def test_a_long_silence_of_the_store_makes_chunks_of_bounded_size(work: Work, unsteady: Unsteady) -> None:
    streams = streams_of(work, unsteady)
    task, stream = await begun(work, streams)
    say(stream, *("x" * 1000 for _ in range(200)))
    await streams.flush()
    events = await ended(work, task)
    sizes = [len(heard([event])) for event in events if event.kind is EventKind.CHUNK]
    assert sum(sizes) == 200_000
    assert max(sizes) <= LARGEST_CHUNK + 1000


async def test_a_store_that_will_not_take_it_holds_up_no_result(
    work: Work, unsteady: Unsteady, caplog: pytest.LogCaptureFixture
) -> None:
    streams = streams_of(work, unsteady)
    task, stream = await begun(work, streams)
    say(stream, "a")
    await streams.flush()
    unsteady.refuse = StoreError("no such command")
    say(stream, "b")
    await streams.flush()
    unsteady.refuse = None
    say(stream, "c")
    await streams.flush()
    assert "cannot be published" in caplog.text
    events = await ended(work, task)
    assert [event.kind.value for event in events] == ["started", "chunk", "trimmed", "chunk", "finished"]


async def test_a_flush_waits_for_a_publication_that_is_on_its_way(work: Work, store: Store) -> None:
    on_its_way, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Unsteady):
        async def publish(self, queue: QueueKey, publications: Sequence[Publication]) -> list[bool]:
            on_its_way.set()
            await go_on.wait()
            return await super().publish(queue, publications)

    streams = streams_of(work, Slow(store))
    task, stream = await begun(work, streams)
    say(stream, "a")
    running = asyncio.create_task(streams.run())
    await on_its_way.wait()
    flushing = asyncio.create_task(streams.flush())
    await asyncio.sleep(0)
    assert not flushing.done()
    go_on.set()
    await flushing
    assert heard(await ended(work, task)) == "a"
    running.cancel()
    await asyncio.wait([running])
