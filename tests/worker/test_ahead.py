"""Tasks that are claimed ahead of free slots: where calls are short, and no slot waits for a claim."""

import asyncio
import time

import pytest

from taskfleet.core.task import TaskState
from taskfleet.worker.drain import drain
from taskfleet.worker.pace import Pace
from taskfleet.worker.runningcall import Interruption
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import MODEL
from tests.worker.parts import Parts, claimed, parts

SLOTS = 2


async def start(work: Work, worker: Parts, count: int, name: str = "task") -> list[str]:
    """So many tasks claimed, whatever slots there are."""
    await work.submit(*(f"{name}-{number}" for number in range(count)))
    tasks = [await claimed(work) for _ in range(count)]
    for task in tasks:
        worker.calls.start(task, MODEL)
    return [task.id for task in tasks]


@pytest.mark.parametrize(
    ("seconds_per_task", "slots", "ahead"),
    [(None, 100, 0), (5.0, 100, 0), (1.0, 100, 2), (0.2, 1, 0), (0.02, 100, 100), (0.001, 8, 8), (0.04, 100, 50)],
)
def test_ahead_is_what_ends_during_a_claim_or_two(seconds_per_task: float | None, slots: int, ahead: int) -> None:
    pace = Pace(0.0)
    pace.claimed(0.001)
    if seconds_per_task is not None:
        pace.finished(1.0, seconds_per_task)
    assert pace.ahead_of(slots) == ahead


def test_where_claims_take_long_more_is_claimed_ahead() -> None:
    pace = Pace(0.0)
    pace.finished(1.0, 0.2)
    assert pace.ahead_of(100) == 10
    for _ in range(50):
        pace.claimed(0.08)
    assert pace.ahead_of(100) == pytest.approx(80, abs=1)


async def test_a_claim_asks_for_more_only_when_half_of_it_is_used_up(work: Work, model: ModelStub) -> None:
    await work.open()
    model.hold()
    async with parts(work, model.url, concurrency=SLOTS) as worker:
        assert worker.calls.wanted == 2, "nothing is known of how long a call takes"
        worker.pace.finished(1.0, 0.01)
        assert worker.calls.wanted == 4
        await start(work, worker, 4)
        assert worker.calls.wanted == 0
        model.let_go()
        await eventually(lambda: worker.calls.wanted == 4, "the calls to end")


async def test_no_more_run_at_once_than_there_are_slots_and_the_next_begins_when_one_is_free(
    work: Work, model: ModelStub
) -> None:
    await work.open()
    model.hold()
    async with parts(work, model.url, concurrency=SLOTS) as worker:
        ids = await start(work, worker, 5)
        await eventually(lambda: model.inflight == SLOTS, "the slots to be taken")
        assert (worker.calls.busy, len(worker.calls.running)) == (SLOTS, 5)
        model.let_go()
        views = await work.finished(ids)
    assert {(view.state, view.attempts) for view in views} == {(TaskState.COMPLETED, 1)}
    assert model.max_inflight == SLOTS


async def test_who_goes_away_hands_back_at_once_what_has_not_begun(work: Work, model: ModelStub) -> None:
    await work.open()
    model.hold()
    async with parts(work, model.url, concurrency=SLOTS) as worker:
        ids = await start(work, worker, 5)
        await eventually(lambda: model.inflight == SLOTS, "the slots to be taken")
        leaving = asyncio.create_task(
            drain(worker.calls, worker.outbox, deadline=time.monotonic() + 60, hurry=asyncio.Event())
        )

        async def are_back() -> bool:
            return await work.states(ids) == {"running": SLOTS, "pending": 3}

        await eventually(are_back, "the others to wait again")
        model.let_go()
        assert await leaving
        views = await work.views(ids)
    assert [view.attempts for view in views if view.state is TaskState.PENDING] == [0, 0, 0]
    assert await work.states(ids) == {"completed": SLOTS, "pending": 3}


async def test_what_waits_goes_back_when_the_endpoint_is_in_trouble(work: Work, model: ModelStub) -> None:
    await work.open()
    model.hold()
    model.set_fault("503", times=1)
    async with parts(work, model.url, concurrency=SLOTS) as worker:
        ids = await start(work, worker, 5)
        await eventually(lambda: len(worker.calls.running) == 1, "all but the held call to go")
        await worker.outbox.until_empty()
        assert model.calls.total() == SLOTS
        views = await work.views(ids)
    assert [view.attempts for view in views[SLOTS:]] == [0, 0, 0]


async def test_one_that_waits_is_cancelled_without_a_call(work: Work, model: ModelStub) -> None:
    await work.open()
    model.hold()
    async with parts(work, model.url, concurrency=SLOTS) as worker:
        ids = await start(work, worker, 3)
        await eventually(lambda: model.inflight == SLOTS, "the slots to be taken")
        waiting = worker.calls.running[ids[-1]]
        worker.calls.interrupt(waiting.task.id, waiting.task.fence, Interruption.CANCELLED)
        (view,) = await work.finished([ids[-1]])
        assert view.state is TaskState.CANCELLED
        model.let_go()
        await work.finished(ids)
    assert model.calls.total() == SLOTS


async def test_fewer_slots_hand_back_what_waits_and_more_begin_it(work: Work, model: ModelStub) -> None:
    await work.open()
    model.hold()
    async with parts(work, model.url, concurrency=4) as worker:
        worker.calls.allot(SLOTS)
        ids = await start(work, worker, 4)
        await eventually(lambda: model.inflight == SLOTS, "the slots to be taken")
        worker.calls.allot(4)
        await eventually(lambda: model.inflight == 4, "all to run")
        more = await start(work, worker, 1, "more")
        worker.calls.allot(1)
        await eventually(lambda: not worker.calls.running.keys() & set(more), "the waiting one to go")
        model.let_go()
        await work.finished(ids)
    assert await work.states(more) == {"pending": 1}
