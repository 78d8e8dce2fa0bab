"""A submission to several partitions is whole or not at all, whatever becomes of the submitter and of its messages."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from taskfleet.core.errors import QueueClosed, StoreUnreachable
from taskfleet.core.task import NewTask, QueueKey
from taskfleet.store import Store, lua
from taskfleet.store.incoming import NewTasks
from taskfleet.store.lua import Script
from taskfleet.store.partitions.home import place_of_task
from taskfleet.store.partitions.joint import Joint
from tests.store import inside
from tests.store.given import claim_ids, policy, settle, tasks
from tests.support import dyingsubmitter
from tests.support.waiting import eventually

PARTITIONS = 4
IDS = [each.id for each in tasks(8)]
# Of 8 tasks in 4 partitions: a stage in each, the order of the batch, the decision, and a commit in each.
STEPS = [*["stage"] * 4, "order", "decide", *["commit"] * 4]


@pytest.fixture
def spread(store: Store, queue: QueueKey, runner: asyncio.Runner) -> QueueKey:
    """A queue over several partitions."""
    runner.run(store.put_policy(queue, policy(partitions=PARTITIONS)))
    return queue


async def there(store: Store, queue: QueueKey) -> int:
    return sum(view is not None for view in await store.get(queue, IDS))


async def assert_whole(store: Store, queue: QueueKey, batch: str | None = None) -> None:
    """All of them are there soon, without the submitter, and can be claimed."""

    async def is_there() -> bool:
        stats = await store.stats(queue)
        return stats is not None and stats.pending == len(IDS)

    await eventually(is_there, "somebody else to finish the submission")
    if batch is not None:
        assert [view.id async for view in store.batch_tasks(queue, batch)] == IDS
    await inside.assert_consistent(store, queue)
    assert sorted(await claim_ids(store, queue, 100)) == IDS
    assert not any(name.startswith("stage") for name in await inside.key_names(store, queue))


async def assert_absent(store: Store, queue: QueueKey) -> None:
    """None of them is there, nothing is left of them, and their ids may come again."""
    assert await there(store, queue) == 0
    await inside.make_stages_old(store, queue)
    await store.tick(queue)
    await inside.assert_consistent(store, queue)
    assert not any(name.startswith(("stage", "t:")) for name in await inside.key_names(store, queue))
    assert await store.submit(queue, tasks(len(IDS)), batch="again") == len(IDS)
    assert await there(store, queue) == len(IDS)


def killed_after(step: int, store_url: str, queue: QueueKey) -> list[str]:
    """The scripts that a submitter ran before it was killed."""
    command = [sys.executable, dyingsubmitter.__file__, store_url, str(queue), "b", str(step), *IDS]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=25)
    assert found.returncode == -9
    return found.stdout.split()


@pytest.mark.parametrize("step", range(len(STEPS) + 1))
async def test_a_submitter_that_is_killed_leaves_all_of_its_tasks_or_none(
    store: Store, spread: QueueKey, store_url: str, step: int
) -> None:
    assert await asyncio.to_thread(killed_after, step, store_url, spread) == STEPS[:step]
    if step >= STEPS.index("decide") + 1:
        await assert_whole(store, spread, "b")
    else:
        await assert_absent(store, spread)


@pytest.mark.parametrize("at_once", [True, False])
async def test_two_that_finish_the_same_submission_do_it_once(store: Store, spread: QueueKey, at_once: bool) -> None:
    await begin(store, spread, lua.DECIDE)
    await asyncio.gather(*(store.stats(spread) for _ in range(3 if at_once else 1)))
    await assert_whole(store, spread)


async def begin(store: Store, queue: QueueKey, last: Script) -> None:
    """A submission of which nothing is heard after a script of that name was run: the line is cut."""
    with cut_after(store, last), pytest.raises(StoreUnreachable):
        await store.submit(queue, tasks(len(IDS)))


class cut_after:  # noqa: N801 - reads as a sentence
    """Within it the store's line is cut behind the first script of a kind: it is carried out, and nothing is heard."""

    def __init__(self, store: Store, last: Script) -> None:
        self._connection, self._last = store._connection, last
        self._run: Any = store._connection.run
        self._is_cut = False

    async def _run_until(self, script: Script, queue: QueueKey, *arguments: Any) -> Any:
        if self._is_cut:
            raise StoreUnreachable("the line is cut")
        reply = await self._run(script, queue, *arguments)
        if script is self._last:
            self._is_cut = True
            raise StoreUnreachable("the line is cut")
        return reply

    def __enter__(self) -> None:
        self._connection.run = self._run_until  # type: ignore[method-assign]

    def __exit__(self, *error: object) -> None:
        self._connection.run = self._run  # type: ignore[method-assign]


async def test_a_decision_whose_answer_is_lost_is_carried_out(store: Store, spread: QueueKey) -> None:
    await begin(store, spread, lua.DECIDE)
    assert await there(store, spread) == 0, "the submitter heard nothing, and committed nothing"
    await assert_whole(store, spread)


async def test_a_stage_whose_answer_is_lost_comes_to_nothing(store: Store, spread: QueueKey) -> None:
    await begin(store, spread, lua.STAGE)
    await assert_absent(store, spread)


async def test_a_commit_that_cannot_be_made_now_is_made_later_and_the_tasks_count_as_accepted(
    store: Store, spread: QueueKey
) -> None:
    with cut_after(store, lua.COMMIT):
        assert await store.submit(spread, tasks(len(IDS)), batch="b") == len(IDS)
    await assert_whole(store, spread, "b")


async def test_a_submitter_that_is_refused_leaves_nothing(store: Store, spread: QueueKey) -> None:
    async with asyncio.timeout(20):
        await store.put_policy(spread, policy(partitions=PARTITIONS, closed=True))
        with pytest.raises(QueueClosed):
            await store.submit(spread, tasks(len(IDS)))
        await store.put_policy(spread, policy(partitions=PARTITIONS))
        await assert_absent(store, spread)


async def staged(store: Store, queue: QueueKey) -> Joint:
    """A submission under way: everything is staged, nothing decided."""
    parts = await inside.places(store, queue)
    joint = Joint(store._connection, tuple(parts), b"")
    chunks: dict[int, NewTasks] = {}
    for task in tasks(len(IDS)):
        chunks.setdefault(place_of_task(task, PARTITIONS), NewTasks(b"")).add(task)
    assert await joint.add(chunks, IDS) == len(IDS)
    return joint


async def test_nobody_sees_anything_before_the_decision(store: Store, spread: QueueKey) -> None:
    joint = await staged(store, spread)
    assert await there(store, spread) == 0
    assert await claim_ids(store, spread, 100) == []
    stats = await store.stats(spread)
    assert stats is not None and (stats.pending, stats.counters["enqueued"]) == (0, 0)
    await inside.assert_consistent(store, spread)
    await joint.commit()
    await assert_whole(store, spread)


async def test_one_that_takes_too_long_cannot_be_decided_any_more(store: Store, spread: QueueKey) -> None:
    joint = await staged(store, spread)
    await inside.make_stages_old(store, spread)
    await store.tick(spread)
    with pytest.raises(StoreUnreachable, match="took too long"):
        await joint.commit()
    await assert_absent(store, spread)


async def test_one_that_is_alive_is_not_swept_from_other_partitions(store: Store, spread: QueueKey) -> None:
    joint = await staged(store, spread)
    await inside.make_stages_old(store, spread)
    first = (await inside.places(store, spread))[0]
    await inside.call(store, "ZADD", inside.keys.key(first, "stages"), "XX", 2**51, joint._first.number)
    await store.tick(spread)
    await joint.commit()
    await assert_whole(store, spread)


async def test_what_was_decided_comes_even_into_a_queue_that_is_closed_meanwhile(
    store: Store, spread: QueueKey
) -> None:
    await begin(store, spread, lua.DECIDE)
    await store.put_policy(spread, policy(partitions=PARTITIONS, closed=True))
    await assert_whole(store, spread)


async def test_a_cancelled_submission_leaves_nothing_behind(store: Store, spread: QueueKey) -> None:
    def cancelled_midway() -> Iterator[NewTask]:
        for number, each in enumerate(tasks(12_000)):
            if number == 10_000:
                submission.cancel()
            yield each

    submission = asyncio.create_task(store.submit(spread, cancelled_midway()))
    with pytest.raises(asyncio.CancelledError):
        await submission

    async def nothing_is_left() -> bool:
        await store.tick(spread)
        return not any(name.startswith(("stage", "t:")) for name in await inside.key_names(store, spread))

    await eventually(nothing_is_left, "what a cancelled call had staged to be swept")


async def test_the_order_of_a_batch_is_forgotten_with_the_last_of_it(store: Store, spread: QueueKey) -> None:
    await store.submit(spread, tasks(len(IDS)), batch="b")
    claim = await store.claim(spread, "w1", ["small"], 100)
    await store.settle(spread, [settle(leased) for leased in claim.tasks])
    await store.tick(spread)
    assert [view.id async for view in store.batch_tasks(spread, "b")] == IDS
    for place in await inside.places(store, spread):  # as retention does
        await inside.call(store, "DEL", inside.keys.batch(place, "b"))
    await store.tick(spread)
    left = await inside.key_names(store, spread)
    assert not any("order" in name for name in left)
