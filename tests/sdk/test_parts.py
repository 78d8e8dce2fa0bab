"""The parts that need no store: shares of slots, a checkpoint's index, the watch under trouble."""

import asyncio
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given as cases
from hypothesis import strategies as some

from taskfleet.api.endpoint import Endpoint
from taskfleet.core.errors import NotRunning, StoreUnreachable
from taskfleet.core.pool import EndpointObserved, Strategy
from taskfleet.core.task import Priority, TaskState, TaskView
from taskfleet.sdk.checkpoint import Done
from taskfleet.sdk.slots import pool_policy, share_slots
from taskfleet.store.watch import Watch


def endpoint(name: str, concurrency: int, models: Sequence[str] = ("m",)) -> Endpoint:
    return Endpoint(name=name, url="http://h", models=list(models), concurrency=concurrency)


@cases(
    some.integers(1, 50),
    some.lists(some.tuples(some.integers(1, 40), some.integers(0, 40), some.integers(0, 5)), min_size=1, max_size=4),
    some.integers(0, 500),
    some.sampled_from(Strategy),
)
def test_what_runs_and_what_may_run_is_never_more_than_asked_for(
    most: int, sizes: list[tuple[int, int, int]], waiting: int, strategy: Strategy
) -> None:
    """Of each endpoint its size, what runs, and what was claimed ahead and waits for a slot."""
    pool = pool_policy([endpoint(f"e{at}", size) for at, (size, _, _) in enumerate(sizes)], most, strategy)
    left = most
    seen, busy = {}, {}
    for at, (size, running, ahead) in enumerate(sizes):
        runs = busy[f"e{at}"] = min(running, size, left)
        left -= runs
        seen[f"e{at}"] = EndpointObserved(workers=runs, ready=runs, inflight=runs + ahead)
    slots = share_slots(pool, {"m": waiting}, seen, busy, 0.0)
    assert sum(max(share, busy[name]) for name, share in slots.items()) <= most
    if waiting and left and any(size > busy[f"e{at}"] for at, (size, _, _) in enumerate(sizes)):
        assert sum(slots.values()) > 0


def test_an_endpoint_gets_every_slot_for_a_model_that_only_it_has() -> None:
    pool = pool_policy([endpoint("a", 10, ["x"]), endpoint("b", 10, ["y"])], 10, Strategy.FASTEST)
    idle, busy = {name: EndpointObserved() for name in "ab"}, dict.fromkeys("ab", 0)
    assert share_slots(pool, {"x": 100}, idle, busy, 0.0) == {"a": 10, "b": 0}
    assert share_slots(pool, {"x": 100, "y": 100}, idle, busy, 0.0) == {"a": 5, "b": 5}
    assert share_slots(pool, {}, idle, busy, 0.0) == {"a": 0, "b": 0}


@cases(some.lists(some.integers(0, 5000)))
def test_the_index_of_a_checkpoint_is_a_set_of_rows(rows: list[int]) -> None:
    done = Done()
    for row in rows:
        done.add(row)
    assert done.count == len(set(rows))
    assert all((row in done) == (row in set(rows)) for row in range(5100))


def view(task_id: str, state: TaskState = TaskState.COMPLETED) -> TaskView:
    return TaskView(task_id, state, "m", Priority.NORMAL, 1, 0.0)


async def test_the_watch_tells_each_end_once_also_after_the_store_was_away() -> None:
    failures, told = 2, []

    async def read(ids: Sequence[str]) -> list[TaskView | None]:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreUnreachable("the store is away")
        return [view(task_id) for task_id in ids]

    watch = Watch(read, told.append, nudged=True)
    watching = asyncio.create_task(watch.run())
    watch.follow(["a", "b"])
    ends = asyncio.gather(watch.ends_of(["a"]), watch.ends_of(["a", "b"]), watch.end_of("b"))
    watch.nudge(["a", "b", "stranger"])
    one, both, last = await ends
    assert (set(one), set(both), last.id) == ({"a"}, {"a", "b"}, "b")
    assert sorted(each.id for each in told) == ["a", "b"]
    await watch.until_none_open()
    assert watch.open == []
    watching.cancel()


async def test_a_task_that_is_only_waited_for_is_nobodys_own() -> None:
    told: list[TaskView] = []
    ended = False

    async def read(ids: Sequence[str]) -> list[TaskView | None]:
        return [view(task_id, TaskState.COMPLETED if ended else TaskState.RUNNING) for task_id in ids]

    watch = Watch(read, told.append, nudged=True)
    watching = asyncio.create_task(watch.run())
    short = asyncio.create_task(watch.end_of("other"))
    await asyncio.sleep(0)
    assert (watch.open, watch.follows("other")) == ([], False)
    await watch.until_none_open()
    short.cancel()
    await asyncio.gather(short, return_exceptions=True)
    assert watch._open == {}, "who waits no more leaves nothing to look at"
    ended = True
    watch.nudge_all()
    assert (await watch.end_of("other")).id == "other"
    assert told == [], "whoever saw its own task end before is not told again because somebody waits"
    watching.cancel()


def watch_of_what_has_ended() -> tuple[Watch, list[str], list[TaskView]]:
    """Of a store in which every task has; what is read there, and what the watch tells."""
    told: list[TaskView] = []
    asked: list[str] = []

    async def read(ids: Sequence[str]) -> list[TaskView | None]:
        asked.extend(ids)
        return [view(task_id) for task_id in ids]

    return Watch(read, told.append, nudged=True), asked, told


async def test_of_a_task_on_its_way_nothing_is_looked_at_and_nothing_missed() -> None:
    watch, asked, told = watch_of_what_has_ended()
    watching = asyncio.create_task(watch.run())
    watch.expect(["settled", "nudged", "all", "refused"])
    watch.settled({"settled": view("settled"), "stranger": view("stranger")})
    watch.nudge(["nudged", "refused"])
    await asyncio.sleep(0)
    assert (asked, told, watch.open, watch.follows("settled")) == ([], [], [], True)
    watch.expect_no_more(["refused"])
    watch.follow(["settled"])
    assert [each.id for each in told] == ["settled"]
    watch.follow(["nudged"])
    await watch.until_none_open()
    assert (asked, [each.id for each in told]) == (["nudged"], ["settled", "nudged"])
    watch.nudge_all()
    watch.follow(["all"])
    await watch.until_none_open()
    assert asked == ["nudged", "all"], "whoever missed something looks at all, also at what is on its way"
    assert not watch.follows("refused")
    assert (watch._early, watch._expected) == ({}, set())
    watching.cancel()


async def test_an_end_that_is_announced_is_not_read() -> None:
    watch, asked, told = watch_of_what_has_ended()
    watching = asyncio.create_task(watch.run())
    result = b'{"output":"yes"}'
    head = struct.pack(">cBBIHHIHIIBB", b"c", 0, 0, 1, 1, 0, 0, 0, 0, 1, Priority.NORMAL, 1)  # codec.py
    record = head + b"m" + b"\x01w" + struct.pack(">I", len(result)) + result
    watch.expect(["early"])
    watch.follow(["told", "named"])
    watch.heard({"told": record, "early": record, "stranger": b"no record"})
    watch.heard({"told": None, "early": None, "named": None, "stranger": None})
    watch.follow(["early"])
    await watch.until_none_open()
    assert (asked, sorted(each.id for each in told)) == (["named"], ["early", "named", "told"])
    assert next(each for each in told if each.id == "told").output == "yes"
    watching.cancel()


async def test_the_watch_remembers_what_is_open_and_not_what_was() -> None:
    async def read(ids: Sequence[str]) -> list[TaskView | None]:
        return [view(task_id, TaskState.RUNNING if task_id == "open" else TaskState.COMPLETED) for task_id in ids]

    watch = Watch(read, lambda _view: None, nudged=True)
    watching = asyncio.create_task(watch.run())
    watch.follow(["open"])
    for number in range(5000):
        watch.follow([str(number)])
        watch.nudge([str(number)])
        if number % 100 == 99:
            await watch.ends_of([str(number)])
    assert watch.open == ["open"]
    assert len(watch._rounds) < 1500
    watching.cancel()


async def test_whoever_waits_when_the_queue_ends_is_told_and_so_is_whoever_comes_later() -> None:
    async def read(ids: Sequence[str]) -> list[TaskView | None]:
        return [view(task_id, TaskState.RUNNING) for task_id in ids]

    watch = Watch(read, lambda _view: None, nudged=True)
    watching = asyncio.create_task(watch.run())
    watch.follow(["a"])
    waits = [asyncio.create_task(watch.end_of("a")), asyncio.create_task(watch.until_none_open())]
    await asyncio.sleep(0)
    watch.broke(NotRunning("it was stopped"))
    for wait in (*waits, asyncio.create_task(watch.end_of("a"))):
        with pytest.raises(NotRunning, match="it was stopped"):
            await wait
    watching.cancel()
