"""Runs of parallel queues in the store: a change stands whole or not at all, once, and only its holder's."""

from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from taskfleet.store.runs import RunChange


async def lines(store: Store, queue: QueueKey, first_block: int = 0) -> list[list[bytes]]:
    return [block async for block in store.runs.lines(queue, "r", first_block)]


async def test_what_was_written_is_what_the_next_holder_begins_with(store: Store, queue: QueueKey) -> None:
    assert await store.runs.take(queue, "r", "first") == ({}, {})
    assert await store.runs.commit(queue, "r", "first", RunChange(1, {"a": 1, "b": [2]}, {"0": "x", "1": {"y": 2}}))
    assert await store.runs.commit(queue, "r", "first", RunChange(2, {"a": 3}, {"2": "z"}, {"0"}, [b"one", b"two"]))
    assert await store.runs.take(queue, "r", "second") == ({"a": 3, "b": [2]}, {"1": {"y": 2}, "2": "z"})
    assert await lines(store, queue) == [[b"one", b"two"]]


async def test_whoever_was_taken_over_writes_nothing_any_more(store: Store, queue: QueueKey) -> None:
    await store.runs.take(queue, "r", "first")
    await store.runs.commit(queue, "r", "first", RunChange(1, {"a": 1}))
    await store.runs.take(queue, "r", "second")
    assert not await store.runs.commit(queue, "r", "first", RunChange(2, {"a": 2}, {"0": "x"}, lines=[b"no"]))
    assert not await store.runs.holds(queue, "r", "first")
    assert await store.runs.holds(queue, "r", "second")
    assert await store.runs.fields(queue, "r") == {"a": 1}
    assert await lines(store, queue) == []
    assert await store.runs.commit(queue, "r", "second", RunChange(1, {"a": 5}))
    assert await store.runs.fields(queue, "r") == {"a": 5}


async def test_a_change_that_is_sent_again_is_there_once(store: Store, queue: QueueKey) -> None:
    await store.runs.take(queue, "r", "h")
    for _ in range(3):
        assert await store.runs.commit(queue, "r", "h", RunChange(1, lines=[b"one"]))
    assert await lines(store, queue) == [[b"one"]]


async def test_a_change_behind_one_that_was_lost_is_refused(store: Store, queue: QueueKey) -> None:
    await store.runs.take(queue, "r", "h")
    await store.runs.commit(queue, "r", "h", RunChange(1))
    assert not await store.runs.commit(queue, "r", "h", RunChange(3, lines=[b"three"]))
    assert await lines(store, queue) == []


async def test_blocks_are_read_from_the_beginning_from_one_on_and_from_the_end(store: Store, queue: QueueKey) -> None:
    await store.runs.take(queue, "r", "h")
    for number in range(1, 131):
        await store.runs.commit(queue, "r", "h", RunChange(number, lines=[b"%d" % number]))
    assert [block[0] for block in await lines(store, queue)] == [b"%d" % number for number in range(1, 131)]
    assert (await lines(store, queue, 129), await lines(store, queue, -2)) == ([[b"130"]], [[b"129"], [b"130"]])
    assert len(await lines(store, queue, -1000)) == 130


async def test_ten_thousand_open_items_are_one_change(store: Store, queue: QueueKey) -> None:
    await store.runs.take(queue, "r", "h")
    assert await store.runs.commit(queue, "r", "h", RunChange(1, {}, dict.fromkeys(map(str, range(10_000)), "x")))
    assert await store.runs.commit(queue, "r", "h", RunChange(2, {}, {}, set(map(str, range(9_999)))))
    assert (await store.runs.take(queue, "r", "other"))[1] == {"9999": "x"}


async def test_what_is_forgotten_is_gone_and_a_dropped_queue_takes_its_runs_along(
    store: Store, queue: QueueKey
) -> None:
    for forget in (lambda: store.runs.forget(queue, "r"), lambda: store.drop_queue(queue)):
        await store.runs.take(queue, "r", "h")
        await store.runs.commit(queue, "r", "h", RunChange(1, {"a": 1}, {"0": "x"}, lines=[b"one"]))
        await forget()
        assert await store.runs.fields(queue, "r") == {}
        assert await lines(store, queue) == []
        assert not await store.runs.commit(queue, "r", "h", RunChange(2, {"a": 1}))
