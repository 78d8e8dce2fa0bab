"""Leases and fences inside one worker: its parts run here in the test's own process, on a real store."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from taskfleet.core.errors import StoreUnreachable
from taskfleet.core.outcome import Ok, Outcome
from taskfleet.core.settlement import Claim, Settlement, Verdict
from taskfleet.core.task import Priority, QueueKey, TaskState
from taskfleet.providers import Call
from taskfleet.store import Store
from taskfleet.worker.runningcall import Interruption
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import MODEL, prompts
from tests.worker.parts import claimed, lease, parts


async def test_what_is_claimed_again_while_it_still_runs_goes_on_under_the_new_fence(
    work: Work, model: ModelStub
) -> None:
    await work.open(leaseDuration="200ms")
    await work.submit("task")
    model.hold()
    async with parts(work, model.url) as worker:
        first = await claimed(work)
        worker.calls.start(first, MODEL)
        await eventually(lambda: model.inflight == 1, "the call to run")
        again = await claimed(work)  # its lease has expired
        assert (again.id, again.attempt, again.fence > first.fence) == ("task", 2, True)
        worker.calls.start(again, MODEL)
        model.let_go()
        (view,) = await work.finished(["task"])
    assert (view.state, view.attempts, view.output) == (TaskState.COMPLETED, 2, "echo: task")
    assert model.calls == {"task": 1}


async def test_a_heartbeat_that_learns_of_a_lost_lease_closes_the_call(work: Work, model: ModelStub) -> None:
    await work.open(leaseDuration="200ms")
    await work.submit("task")
    model.hold()
    async with parts(work, model.url) as worker:
        worker.calls.start(await claimed(work), MODEL)
        await eventually(lambda: model.inflight == 1, "the call to run")
        taken = await claimed(work, worker="other")
        await worker.beats.beat()
        await eventually(lambda: model.hung_up == 1, "the call to be closed")
        assert len(worker.outbox) == 0
        model.let_go()
        done = Settlement(taken.id, taken.fence, Verdict.COMPLETE, output="by other")
        assert await work.store.settle(work.queue, [done]) == [True]
    (view,) = await work.views(["task"])
    assert view.output == "by other"


async def test_word_of_an_older_lease_does_not_stop_the_newer_call(work: Work, model: ModelStub) -> None:
    await work.open()
    await work.submit("task")
    model.hold()
    async with parts(work, model.url) as worker:
        task = await claimed(work)
        worker.calls.start(task, MODEL)
        await eventually(lambda: model.inflight == 1, "the call to run")
        for why in Interruption:
            worker.calls.interrupt(task.id, task.fence - 1, why)
        model.let_go()
        (view,) = await work.finished(["task"])
    assert view.state is TaskState.COMPLETED
    assert model.hung_up == 0


async def test_a_call_that_is_cancelled_in_the_moment_in_which_it_begins_ends_and_frees_its_slot(
    work: Work, model: ModelStub
) -> None:
    await work.open()
    await work.submit("task")
    async with parts(work, model.url) as worker:
        task = await claimed(work)
        worker.calls.start(task, MODEL)
        worker.calls.interrupt(task.id, task.fence, Interruption.CANCELLED)
        (view,) = await work.finished(["task"])
        assert view.state is TaskState.CANCELLED
        assert (worker.calls.held, worker.calls.running) == (0, {})


async def test_a_waiting_result_is_dropped_only_for_its_own_lease(work: Work, model: ModelStub) -> None:
    await work.open()
    async with parts(work, model.url) as worker:
        worker.outbox.put(Settlement("task", 5, Verdict.RELEASE), lease("task", 5))
        worker.outbox.drop("task", 4)
        assert worker.outbox.leases == {"task": 5}
        worker.outbox.drop("task", 5)
        assert worker.outbox.leases == {}
        await worker.outbox.until_empty()


def text_of(task: str) -> str:
    return task * 5_000_000


def message_of(task: str) -> dict[str, Any]:
    return {"choices": [{"message": {"content": text_of(task)}}]}


@pytest.mark.parametrize("output_of", [text_of, message_of])
async def test_huge_results_are_settled_in_several_batches(
    work: Work, model: ModelStub, output_of: Callable[[str], Any]
) -> None:
    await work.open()
    await work.submit("a", "b", "c")
    async with parts(work, model.url) as worker:
        for _ in range(3):
            task = await claimed(work)
            worker.outbox.put(Settlement(task.id, task.fence, Verdict.COMPLETE, output=output_of(task.id)), task)
        assert len(worker.outbox._next_batch()) == 1
        views = await work.finished(["a", "b", "c"])
    assert [view.output for view in views] == [output_of(task) for task in "abc"]


async def test_a_result_of_an_older_lease_is_refused_and_forgotten(work: Work, model: ModelStub) -> None:
    await work.open()
    await work.submit("task")
    async with parts(work, model.url) as worker:
        task = await claimed(work)
        worker.outbox.put(Settlement(task.id, task.fence - 1, Verdict.COMPLETE, output="rubbish"), task)
        await worker.outbox.until_empty()
    (view,) = await work.views(["task"])
    assert (view.state, view.output) == (TaskState.RUNNING, None)


class LateStore:
    """A store whose claims arrive only when ``arrive`` is set, as over a slow network."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked = asyncio.Event()
        self.arrive = asyncio.Event()

    async def claim(self, queue: QueueKey, worker: str, models: Sequence[str], count: int) -> Claim:
        claim = await self._store.claim(queue, worker, models, count)
        self.asked.set()
        await self.arrive.wait()
        return claim

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_claim_that_arrives_after_the_stop_is_handed_back_unburnt(work: Work, model: ModelStub) -> None:
    await work.open()
    await work.submit("task")
    late = LateStore(work.store)
    async with parts(work, model.url, store=late) as worker:
        loop = asyncio.create_task(worker.claims.run())
        await late.asked.wait()
        worker.claims.stop()
        late.arrive.set()
        await loop
        await worker.outbox.until_empty()
    assert model.calls.total() == 0
    assert (await claimed(work)).attempt == 1


class AwayStore:
    """A store that takes no results until ``back`` is set."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.back = False
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def settle(self, queue: QueueKey, settlements: Sequence[Settlement]) -> list[bool]:
        if not self.back:
            self.asked.set()
            await self.answer.wait()
            raise StoreUnreachable("away on purpose")
        return await self._store.settle(queue, settlements)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("noticed_first", [True, False])
async def test_a_worker_whose_last_waiting_result_lost_its_lease_claims_again(
    work: Work, model: ModelStub, noticed_first: bool
) -> None:
    """The store was away for longer than a lease: nothing of what waited can be settled any more."""
    await work.open()
    away = AwayStore(work.store)
    async with parts(work, model.url, store=away) as worker:
        worker.outbox.put(Settlement("gone", 1, Verdict.COMPLETE, output="late"), lease("gone", 1))
        await away.asked.wait()
        if noticed_first:
            away.answer.set()
            await eventually(lambda: worker.outbox.stuck, "the outbox to notice")
        await worker.beats.beat()
        assert len(worker.outbox) == (0 if noticed_first else 1), "what is on its way is left to its answer"
        away.answer.set()
        await eventually(lambda: worker.outbox._refused, "the settling to fail")
        away.back = True
        loop = asyncio.create_task(worker.claims.run())
        await work.submit("task")
        await work.finished(["task"])
        worker.claims.stop()
        await loop


class Broken:
    """A provider with a bug."""

    async def complete(self, call: Call) -> Outcome:
        raise KeyError(call.model)

    async def close(self) -> None: ...


class Odd(Broken):
    """A provider whose answers are none."""

    async def complete(self, call: Call) -> Outcome:
        return Ok({"content": object()})


@pytest.mark.parametrize("provider", [Broken(), Odd()], ids=["it breaks", "what it brings breaks the conversation"])
async def test_a_bug_of_ours_burns_attempts_and_ends_in_a_failed_task(work: Work, provider: Broken) -> None:
    await work.open(retry={"maxAttempts": 2, "initialDelay": "1ms"}, sessions={"context": "Conversation"})
    await work.store.submit(work.queue, [replace(prompts("task")[0], session="chat")])
    async with parts(work, "http://127.0.0.1:1", provider=provider) as worker:
        for _ in range(2):
            worker.calls.start(await claimed(work), MODEL)
            await worker.calls.until_idle()
            await worker.outbox.until_empty()
        (view,) = await work.views(["task"])
    assert view.error is not None
    assert (view.state, view.error.code) == (TaskState.FAILED, "worker_error")


async def test_a_body_that_is_not_ours_fails_the_task(work: Work, model: ModelStub) -> None:
    await work.open()
    await work.submit("task")
    async with parts(work, model.url) as worker:
        task = await claimed(work)
        worker.calls.start(replace(task, body=b"[]", priority=Priority.NORMAL), MODEL)
        (view,) = await work.finished(["task"])
    assert view.error is not None
    assert (view.state, view.error.code) == (TaskState.FAILED, "invalid_task")
    assert model.calls.total() == 0
