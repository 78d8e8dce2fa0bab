"""Tasks come in all or none: few in one script, many staged and then committed."""

import asyncio
from collections.abc import Iterator

import pytest

from taskfleet.core.errors import (
    DuplicateTask,
    InputError,
    InvalidTask,
    NotFound,
    QueueClosed,
    QueueFull,
    StoreError,
)
from taskfleet.core.settlement import Verdict
from taskfleet.core.task import NewTask, Priority, QueueKey, TaskState
from taskfleet.store import Store, lua
from taskfleet.store.incoming import NewTasks
from tests.store import inside
from tests.store.given import BODY, MODEL, POLICY, claim_ids, claim_one, policy, settle, task, tasks

pytestmark = pytest.mark.spread

BIG = 2500  # three chunks


async def assert_nothing_came_in(store: Store, queue: QueueKey, *, already: int = 0) -> None:
    stats = await store.stats(queue)
    assert stats is not None and stats.pending == already
    census = await inside.assert_consistent(store, queue)
    assert len(census.state) == already
    assert census.lane_counts.get("+", 0) == 0
    assert not any(name.startswith("stage") for name in await inside.key_names(store, queue))


async def test_a_batch_is_read_on_behind_any_of_its_tasks(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(450), batch="b")
    names = [entry.id for entry in tasks(450)]
    for at in (0, 199, 200, 449):
        assert [view.id async for view in store.batch_tasks(opened, "b", names[at])] == names[at + 1 :]
    with pytest.raises(InputError, match="after: 'nobody' is not in this batch; give the id of the last task that you"):
        await anext(aiter(store.batch_tasks(opened, "b", "nobody")))


@pytest.mark.parametrize("count", [1, 3, 1000, 1001, BIG])
@pytest.mark.one_place("the order over a whole queue")
async def test_all_tasks_are_there_in_order(store: Store, opened: QueueKey, count: int) -> None:
    assert await store.submit(opened, tasks(count), batch="b") == count
    stats = await store.stats(opened)
    assert stats is not None
    assert (stats.pending, stats.counters["enqueued"], stats.backlog) == (count, count, {MODEL: count})
    batch = await store.batch(opened, "b")
    assert batch is not None and (batch.total, batch.open) == (count, count)
    names = [entry.id for entry in tasks(count)]
    assert [view.id async for view in store.batch_tasks(opened, "b")] == names
    served = []
    while found := await claim_ids(store, opened, 700):
        served += found
    assert served == names


async def test_submitting_nothing_is_no_error(store: Store, opened: QueueKey) -> None:
    assert await store.submit(opened, []) == 0
    assert await store.submit(opened, iter(()), batch="b") == 0
    await assert_nothing_came_in(store, opened)


@pytest.mark.one_place("the size of one step")
async def test_a_generator_is_taken_in_chunks_and_never_whole(store: Store, opened: QueueKey) -> None:
    given = 0

    def numbered() -> Iterator[NewTask]:
        nonlocal given
        for given in range(1, BIG + 1):
            yield task(f"t{given}")

    async def watch() -> list[int]:
        seen = []
        while given < BIG:
            seen.append(given)
            await asyncio.sleep(0)
        return seen

    _, seen = await asyncio.gather(store.submit(opened, numbered()), watch())
    assert {1001, 2001} <= set(seen), "the event loop ran between the chunks"


@pytest.mark.one_place("the order over a whole queue")
async def test_tasks_of_many_lanes_each_go_to_their_own_in_order(store: Store, opened: QueueKey) -> None:
    mixed = [task(f"t{n:04d}", model=f"m{n % 3}", priority=Priority(n % 4)) for n in range(1200)]
    await store.submit(opened, mixed, batch="b")
    census = await inside.assert_consistent(store, opened)
    for lane, ids in census.flows.items():
        _, model, priority = lane.split(":")
        assert ids == [each.id for each in mixed if (each.model, each.priority) == (model, int(priority))]
    assert [view.id async for view in store.batch_tasks(opened, "b")] == [each.id for each in mixed]


@pytest.mark.parametrize("count", [1, BIG])
async def test_a_queue_that_does_not_exist_takes_nothing(store: Store, queue: QueueKey, count: int) -> None:
    with pytest.raises(NotFound, match=f"{queue} does not exist"):
        await store.submit(queue, tasks(count))
    assert await inside.key_names(store, queue) == set()


@pytest.mark.parametrize("count", [1, BIG])
async def test_a_closed_queue_takes_nothing(store: Store, opened: QueueKey, count: int) -> None:
    await store.put_policy(opened, policy(closed=True))
    with pytest.raises(QueueClosed, match="is being deleted"):
        await store.submit(opened, tasks(count))
    await assert_nothing_came_in(store, opened)


@pytest.mark.parametrize("count", [3, BIG])
async def test_a_full_queue_takes_nothing_and_says_its_limit(store: Store, opened: QueueKey, count: int) -> None:
    await store.put_policy(opened, policy(max_pending=count))
    await store.submit(opened, tasks(2, "first"))
    for many in (tasks(count - 1), iter(tasks(count - 1))):  # a generator's length is not known beforehand
        with pytest.raises(QueueFull, match=f"maxPending is {count}") as caught:
            await store.submit(opened, many)
        assert caught.value.retry_after > 0
        await assert_nothing_came_in(store, opened, already=2)
    assert await store.submit(opened, tasks(count - 2)) == count - 2


async def test_retries_that_wait_for_their_time_count_as_held(store: Store, opened: QueueKey) -> None:
    await store.put_policy(opened, policy(max_pending=1))
    await store.submit(opened, tasks(1))
    leased = await claim_one(store, opened)
    await store.settle(opened, [settle(leased, Verdict.RETRY, delay=60)])
    with pytest.raises(QueueFull):
        await store.submit(opened, tasks(1, "other"))


@pytest.mark.parametrize("count", [2, BIG])
async def test_an_id_already_there_refuses_all_and_is_named(store: Store, opened: QueueKey, count: int) -> None:
    await store.submit(opened, [task("taken")])
    with pytest.raises(DuplicateTask, match="'taken'") as caught:
        await store.submit(opened, [*tasks(count), task("taken")], batch="b")
    assert caught.value.task_id == "taken"
    await assert_nothing_came_in(store, opened, already=1)
    assert await store.batch(opened, "b") is None


@pytest.mark.parametrize("apart", [1, BIG])
async def test_an_id_given_twice_refuses_all(store: Store, opened: QueueKey, apart: int) -> None:
    with pytest.raises(DuplicateTask, match="'again'"):
        await store.submit(opened, [task("again"), *tasks(apart), task("again")])
    await assert_nothing_came_in(store, opened)


@pytest.mark.parametrize("count", [1, BIG])
async def test_a_task_over_the_limit_refuses_all_and_is_named(store: Store, opened: QueueKey, count: int) -> None:
    await store.put_policy(opened, policy(max_task_bytes=len(BODY)))
    with pytest.raises(InvalidTask, match=rf"'big'.* {len(BODY) + 1} bytes.*maxTaskBytes of this queue is {len(BODY)}"):
        await store.submit(opened, [*tasks(count), task("big", body=BODY + b" ")])
    await assert_nothing_came_in(store, opened)
    assert await store.submit(opened, tasks(1)) == 1


async def test_metadata_too_large_for_a_record_is_refused_in_words(store: Store, opened: QueueKey) -> None:
    await store.put_policy(opened, policy(max_task_bytes=64 * 2**20))
    body = b'{"messages":[],"parameters":{},"metadata":{"x":"' + b"x" * 2**24 + b'"}}'
    with pytest.raises(InvalidTask, match=r"t1.*metadata.*16 MiB"):
        await store.submit(opened, [task("t1", body=body)])


@pytest.mark.parametrize("name", ["", "b" * 256])
async def test_a_batch_name_that_cannot_be_kept_is_refused(store: Store, opened: QueueKey, name: str) -> None:
    with pytest.raises(InputError, match="batch: a name has 1 to 255 bytes"):
        await store.submit(opened, tasks(1), batch=name)


async def test_what_the_iterable_raises_leaves_nothing_behind(store: Store, opened: QueueKey) -> None:
    def broken() -> Iterator[NewTask]:
        yield from tasks(BIG)
        raise InvalidTask("line 2501: not JSON")

    with pytest.raises(InvalidTask, match="line 2501"):
        await store.submit(opened, broken())
    await assert_nothing_came_in(store, opened)


async def test_a_cancelled_submission_leaves_nothing_behind(store: Store, opened: QueueKey) -> None:
    reached = asyncio.Event()

    def endless() -> Iterator[NewTask]:
        number = 0
        while True:
            number += 1
            if number == BIG:
                reached.set()
            yield task(f"t{number}")

    running = asyncio.create_task(store.submit(opened, endless()))
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await assert_nothing_came_in(store, opened)


@pytest.mark.one_place("the size of one step")
async def test_a_chunk_is_bounded_in_bytes_too(store: Store, opened: QueueKey) -> None:
    body = b'{"messages":"' + b"x" * 900_000 + b'"}'
    assert await store.submit(opened, tasks(30, body=body)) == 30
    assert len((await store.claim(opened, "w1", [MODEL], 30)).tasks) < 30, "a claim is bounded in bytes"


async def test_growing_a_batch_adds_to_it(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(2, "a"), batch="b")
    await store.submit(opened, tasks(1100, "c"), batch="b")
    batch = await store.batch(opened, "b")
    assert batch is not None and batch.total == 1102
    names = [view.id async for view in store.batch_tasks(opened, "b")]
    assert names == [each.id for each in (*tasks(2, "a"), *tasks(1100, "c"))]


async def stage(store: Store, queue: QueueKey, *new: NewTask, number: bytes = b"", expected: int = 0) -> bytes:
    """One chunk of a submission that goes on."""
    chunk = NewTasks(b"b")
    for each in new:
        chunk.add(each)
    reply = await store._connection.run(lua.STAGE, queue, number, expected, *chunk.arguments())
    assert reply[0] == b"ok", reply
    return bytes(reply[1])


@pytest.mark.one_place("it stages by hand")
async def test_staged_tasks_are_nowhere_to_be_seen_before_the_commit(store: Store, opened: QueueKey) -> None:
    number = await stage(store, opened, *tasks(3))
    assert await store.get(opened, ["t00000"]) == [None]
    assert await store.cancel(opened, ["t00000"]) == {"t00000": "not_found"}
    assert await store.batch(opened, "b") is None
    assert await claim_ids(store, opened, 3) == []
    stats = await store.stats(opened)
    assert stats is not None and (stats.pending, stats.counters["enqueued"], stats.oldest_pending_at) == (0, 0, None)
    await inside.assert_consistent(store, opened)

    await store._connection.run(lua.COMMIT, opened, number)
    await inside.assert_consistent(store, opened)
    (view,) = await store.get(opened, ["t00000"])
    assert view is not None and view.state is TaskState.PENDING
    assert await claim_ids(store, opened, 5) == ["t00000", "t00001", "t00002"]


@pytest.mark.one_place("it stages by hand")
async def test_an_id_of_a_submission_under_way_cannot_be_taken_by_another(store: Store, opened: QueueKey) -> None:
    await stage(store, opened, *tasks(3))
    with pytest.raises(StoreError, match=r"'t00001' belongs to a submission .* that has begun"):
        await store.submit(opened, [task("t00001")])


@pytest.mark.one_place("it stages by hand")
async def test_a_submission_under_way_has_its_room_reserved(store: Store, opened: QueueKey) -> None:
    await store.put_policy(opened, policy(max_pending=10))
    await stage(store, opened, *tasks(3), expected=9)
    with pytest.raises(QueueFull):
        await store.submit(opened, tasks(2, "other"))
    assert await store.submit(opened, tasks(1, "other")) == 1


async def test_two_big_submissions_at_once_keep_apart(store: Store, opened: QueueKey) -> None:
    await asyncio.gather(
        store.submit(opened, tasks(BIG, "a"), batch="a"), store.submit(opened, tasks(BIG, "b"), batch="b")
    )
    await inside.assert_consistent(store, opened)
    for name in ("a", "b"):
        assert [view.id async for view in store.batch_tasks(opened, name)] == [each.id for each in tasks(BIG, name)]


@pytest.mark.one_place("it stages by hand")
async def test_an_abandoned_submission_is_swept_and_its_ids_and_room_are_free_again(
    store: Store, opened: QueueKey
) -> None:
    number = await stage(store, opened, *tasks(1000), expected=5000)
    await stage(store, opened, *tasks(900, "more"), number=number)
    await store.tick(opened)
    assert (await inside.take_census(store, opened)).staged, "a submission is not abandoned after a moment"
    await inside.make_stages_old(store, opened)
    await store.tick(opened)
    await assert_nothing_came_in(store, opened)
    assert await store.submit(opened, tasks(5)) == 5


@pytest.mark.one_place("it stages by hand")
async def test_a_submission_that_was_swept_cannot_be_committed(store: Store, opened: QueueKey) -> None:
    chunk = await stage(store, opened, *tasks(2))
    await inside.make_stages_old(store, opened)
    await store.tick(opened)
    reply = await store._connection.run(lua.COMMIT, opened, chunk)
    assert reply[0] == b"stage_lost"
    new = NewTasks(b"")
    new.add(task("x"))
    assert (await store._connection.run(lua.STAGE, opened, chunk, 0, *new.arguments()))[0] == b"stage_lost"
    await assert_nothing_came_in(store, opened)


async def test_bodies_and_ids_of_any_bytes_come_back_as_they_were(store: Store, opened: QueueKey) -> None:
    body = bytes(range(256)) * 9
    await store.submit(opened, [task("a:b.c-d_E|{}*?é", body=body, model="org/m:1@x")])
    (leased,) = (await store.claim(opened, "w1", ["org/m:1@x"], 1)).tasks
    assert (leased.id, leased.model, leased.body) == ("a:b.c-d_E|{}*?é", "org/m:1@x", body)


async def test_a_policy_may_change_while_tasks_wait(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(5))
    await store.put_policy(opened, policy(max_pending=1))
    with pytest.raises(QueueFull):
        await store.submit(opened, tasks(1, "other"))
    assert len(await claim_ids(store, opened, 5)) == 5
    await store.put_policy(opened, POLICY)
