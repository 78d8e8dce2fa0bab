"""A task that asks for its answer piece by piece: its readers miss nothing, whatever happens to workers and servers."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import replace

from taskfleet.core.events import EventKind, TaskEvent
from taskfleet.core.task import TaskState
from taskfleet.store import Store
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import prompts, worker_process

LONG = "tell me a longer story, piece by piece"


class Reader:
    """Reads a task's events as its client does; ``text`` is what the client shows now."""

    def __init__(self, source: AsyncIterator[TaskEvent]) -> None:
        self.events: list[TaskEvent] = []
        self.text = ""
        self.job = asyncio.create_task(self._read(source))

    async def _read(self, source: AsyncIterator[TaskEvent]) -> None:
        async for event in source:
            self.events.append(event)
            if event.kind in (EventKind.STARTED, EventKind.RESTARTED):
                self.text = ""
            if event.kind is EventKind.CHUNK:
                for choice in event.data["choices"]:
                    self.text += choice["delta"].get("content") or ""

    async def to_its_end(self) -> str:
        async with asyncio.timeout(20):
            await self.job
        return self.text

    @property
    def kinds(self) -> list[str]:
        """Each kind once where it comes many times in a row."""
        found: list[str] = []
        for event in self.events:
            if not found or found[-1] != event.kind.value:
                found.append(event.kind.value)
        return found


async def test_a_streamed_task_is_read_piece_by_piece_and_completes_as_any_other(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open()
    model.chunk_latency = 0.03
    await work.submit(LONG, stream=True)
    reader = Reader(work.store.events(work.queue, LONG))
    with worker_process(store_url, work.queue, model.url, name="me"):
        assert await reader.to_its_end() == f"echo: {LONG}"
        (view,) = await work.finished([LONG])
    assert view.output == f"echo: {LONG}"
    assert view.usage is not None
    assert (view.usage.input_tokens, view.usage.output_tokens) == (7, 3)
    assert reader.kinds == ["started", "chunk", "finished"]
    assert reader.events[0].data == {"attempt": 1, "worker": "me", "model": "stub", "endpoint": "stub"}
    assert sum(event.kind is EventKind.CHUNK for event in reader.events) > 5, "pieces come as they are said"
    assert reader.events[-2].data["choices"][0]["finish_reason"] == "stop"


async def test_many_tokens_at_once_are_few_events(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open()
    prompt = "x" * 40_000
    await work.store.submit(work.queue, [replace(task, id="long") for task in prompts(prompt, stream=True)])
    reader = Reader(work.store.events(work.queue, "long"))
    with worker_process(store_url, work.queue, model.url):
        assert await reader.to_its_end() == f"echo: {prompt}"
    assert len(reader.events) < 2_000, "10,000 pieces"


async def test_a_task_that_did_not_ask_is_not_streamed(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open()
    with worker_process(store_url, work.queue, model.url):
        await work.finished(await work.submit("plain"))
    assert "stream" not in model.requests[0]["body"]


async def test_a_reader_of_a_task_whose_worker_is_killed_is_told_of_the_restart(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open(leaseDuration="1s")
    model.set_fault("stream-stall", times=1)
    await work.submit(LONG, stream=True)
    reader = Reader(work.store.events(work.queue, LONG))
    with worker_process(store_url, work.queue, model.url) as doomed:
        await eventually(lambda: reader.text, "the first half")
        doomed.signal(signal.SIGKILL)
        with worker_process(store_url, work.queue, model.url, name="second"):
            assert await reader.to_its_end() == f"echo: {LONG}"
    assert reader.kinds == ["started", "chunk", "restarted", "chunk", "finished"]
    restarted = next(event for event in reader.events if event.kind is EventKind.RESTARTED)
    assert (restarted.data["attempt"], restarted.data["worker"]) == (2, "second")


async def test_a_stream_that_is_cut_completes_nothing_and_begins_anew(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open()
    model.set_fault("stream-cut-whole", times=1)
    await work.submit(LONG, stream=True)
    reader = Reader(work.store.events(work.queue, LONG))
    with worker_process(store_url, work.queue, model.url):
        assert await reader.to_its_end() == f"echo: {LONG}"
        (view,) = await work.finished([LONG])
    assert view.attempts == 1, "the endpoint's trouble, which burns no attempt"
    assert view.history[0].error is not None
    assert view.history[0].error.code == "answer_cut"
    assert reader.kinds == ["started", "chunk", "restarted", "chunk", "finished"]


async def test_a_cancel_closes_a_stream_and_its_readers_hear_of_it(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open(leaseDuration="900ms")
    model.set_fault("stream-stall")
    await work.submit(LONG, stream=True)
    reader = Reader(work.store.events(work.queue, LONG))
    with worker_process(store_url, work.queue, model.url):
        await eventually(lambda: reader.text, "the first half")
        await work.store.cancel(work.queue, [LONG])
        await eventually(lambda: model.hung_up == 1, "the call to be closed at a heartbeat")
        await reader.to_its_end()
        (view,) = await work.finished([LONG])
    assert view.state is TaskState.CANCELLED
    assert reader.events[-1].data["state"] == "cancelled"


async def test_a_drained_worker_hands_a_stream_back_and_another_begins_anew(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open()
    model.set_fault("stream-stall", times=1)
    await work.submit(LONG, stream=True)
    reader = Reader(work.store.events(work.queue, LONG))
    with worker_process(store_url, work.queue, model.url, grace=0.1) as leaving:
        await eventually(lambda: reader.text, "the first half")
        leaving.signal(signal.SIGTERM)
        assert await leaving.exit_code() == 0
    with worker_process(store_url, work.queue, model.url):
        assert await reader.to_its_end() == f"echo: {LONG}"
    assert reader.kinds == ["started", "chunk", "restarted", "chunk", "finished"]


async def test_fifty_streams_at_once_are_each_whole_and_in_order(
    work: Work, model: ModelStub, store: Store, store_url: str
) -> None:
    await work.open()
    model.chunk_latency = 0.005
    names = [f"story number {number} of fifty" for number in range(50)]
    readers = [Reader(store.events(work.queue, name)) for name in await work.submit(*names, stream=True)]
    with worker_process(store_url, work.queue, model.url, concurrency=50):
        assert [await reader.to_its_end() for reader in readers] == [f"echo: {name}" for name in names]
    assert all(reader.kinds == ["started", "chunk", "finished"] for reader in readers)
