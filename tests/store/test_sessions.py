"""Tasks of one session run one at a time in the order in which they came, whatever happens to the ones before."""

import itertools

import pytest

from taskfleet.core.errors import InvalidTask
from taskfleet.core.settlement import Verdict
from taskfleet.core.task import NewTask, Priority, QueueKey, TaskState
from taskfleet.store import Store
from tests.store import inside
from tests.store.given import BODY, MODEL, claim_ids, claim_one, error, settle, task, tasks

pytestmark = pytest.mark.spread

numbers = itertools.count(1)


def turns(session: str, count: int, **options: object) -> list[NewTask]:
    return [NewTask(f"{session}.{number}", MODEL, BODY, session=session, **options) for number in range(1, count + 1)]  # type: ignore[arg-type]


async def test_one_task_of_a_session_runs_at_a_time_and_the_next_follows(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, turns("talk", 3))
    for expected in ("talk.1", "talk.2", "talk.3"):
        first = await claim_one(store, opened)
        assert first.id == expected and first.session == "talk"
        assert await claim_ids(store, opened, 5) == []
        await inside.assert_consistent(store, opened)
        await store.settle(opened, [settle(first)])
    assert not any(name.startswith("session") for name in await inside.key_names(store, opened))


@pytest.mark.one_place("the order over a whole queue")
async def test_sessions_run_beside_each_other_and_beside_other_tasks(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [*turns("a", 2), *turns("b", 2), *tasks(2)])
    assert await claim_ids(store, opened, 10) == ["a.1", "b.1", "t00000", "t00001"]


async def test_what_waits_behind_its_session_is_pending_and_no_backlog(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, turns("talk", 5, priority=Priority.HIGH))
    stats = await store.stats(opened)
    assert stats is not None
    assert (stats.pending, stats.blocked, stats.backlog, stats.depth["high"]) == (5, 4, {MODEL: 1}, 5)


@pytest.mark.one_place("the order over a whole queue")
async def test_the_next_turn_stands_where_it_was_submitted(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [*turns("a", 2)[:1], task("x"), *turns("a", 2)[1:], task("y")])
    first = await claim_one(store, opened)
    await store.settle(opened, [settle(first)])
    assert await claim_ids(store, opened, 3) == ["x", "a.2", "y"]


@pytest.mark.parametrize("verdict", [Verdict.COMPLETE, Verdict.FAIL, Verdict.CANCEL])
async def test_however_one_ends_the_next_begins(store: Store, opened: QueueKey, verdict: Verdict) -> None:
    await store.submit(opened, turns("talk", 2))
    await store.settle(opened, [settle(await claim_one(store, opened), verdict, error=error())])
    assert (await claim_one(store, opened)).id == "talk.2"


@pytest.mark.parametrize("delay", [0.0, 500.0])
@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.RELEASE])
async def test_while_one_is_tried_again_the_next_waits(
    store: Store, opened: QueueKey, verdict: Verdict, delay: float
) -> None:
    await store.submit(opened, turns("talk", 2))
    await store.settle(opened, [settle(await claim_one(store, opened), verdict, delay=delay, error=error())])
    await inside.assert_consistent(store, opened)
    if delay:
        assert await claim_ids(store, opened, 5) == []
        await inside.make_retries_due(store, opened)
    assert await claim_ids(store, opened, 5) == ["talk.1"]


async def test_when_its_worker_dies_the_same_one_runs_again(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, turns("talk", 2))
    await claim_one(store, opened)
    await inside.end_leases(store, opened)
    assert await claim_ids(store, opened, 5) == ["talk.1"]
    await inside.end_leases(store, opened)  # the second death sets it aside
    assert await claim_ids(store, opened, 5) == ["talk.2"]


async def test_any_of_them_can_be_cancelled(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, turns("talk", 4))
    assert await store.cancel(opened, ["talk.3", "talk.1"]) == {"talk.3": "cancelled", "talk.1": "cancelled"}
    await inside.assert_consistent(store, opened)
    second = await claim_one(store, opened)
    assert second.id == "talk.2"
    await store.settle(opened, [settle(second)])
    assert (await claim_one(store, opened)).id == "talk.4"


async def test_one_that_waits_too_long_behind_the_others_expires(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, turns("talk", 2, deadline=9e9))
    await inside.let_deadline_pass(store, opened, "talk.2")
    assert await claim_ids(store, opened, 5) == ["talk.1"]
    (view,) = await store.get(opened, ["talk.2"])
    assert view is not None and (view.state, view.session) == (TaskState.EXPIRED, "talk")
    await inside.assert_consistent(store, opened)


async def test_a_session_goes_on_over_many_submissions(store: Store, opened: QueueKey) -> None:
    one, two, three = turns("talk", 3)
    await store.submit(opened, [one])
    leased = await claim_one(store, opened)
    await store.submit(opened, [two])
    await store.submit(opened, [three])
    assert await claim_ids(store, opened, 5) == []
    await store.settle(opened, [settle(leased)])
    assert await claim_ids(store, opened, 5) == ["talk.2"]


async def test_many_come_in_staged_and_none_overtakes(store: Store, opened: QueueKey) -> None:
    many = [turn for pair in zip(*(turns(f"s{n}", 30) for n in range(100)), strict=True) for turn in pair]
    await store.submit(opened, [task("first")])
    await store.submit(opened, many, batch="b")
    await inside.assert_consistent(store, opened)
    order: dict[str, list[int]] = {}
    served = 0
    while found := (await store.claim(opened, "w1", (MODEL,), 50)).tasks:
        sessions = [leased.session for leased in found if leased.session]
        assert len(set(sessions)) == len(sessions)
        for leased in found:
            name, _, number = leased.id.partition(".")
            order.setdefault(name, []).append(int(number or 0))
        served += len(found)
        await store.settle(opened, [settle(leased) for leased in found])
    assert served == 3001
    assert all(numbers == sorted(numbers) for numbers in order.values())


async def test_a_stage_given_up_leaves_the_session_as_it_was(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, turns("talk", 1))

    def broken() -> list[NewTask]:
        yield from (NewTask(f"more.{n}", MODEL, BODY, session="talk") for n in range(1500))  # type: ignore[misc]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await store.submit(opened, broken())
    await inside.assert_consistent(store, opened)
    await store.settle(opened, [settle(await claim_one(store, opened))])
    assert await claim_ids(store, opened) == []


async def test_a_redriven_one_comes_behind_those_that_wait(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, turns("talk", 3))
    await store.settle(opened, [settle(await claim_one(store, opened), Verdict.FAIL, error=error())])
    await store.redrive(opened, ["talk.1"])
    await inside.assert_consistent(store, opened)
    order = []
    while names := (await store.claim(opened, "w1", (MODEL,), 5)).tasks:
        order += [leased.id for leased in names]
        await store.settle(opened, [settle(leased) for leased in names])
    assert order == ["talk.2", "talk.3", "talk.1"]


async def test_a_task_of_a_session_cannot_wait_for_its_time(store: Store, opened: QueueKey) -> None:
    late = NewTask("t", MODEL, BODY, session="talk", delay=5.0)
    with pytest.raises(InvalidTask, match=r"session: .* leave out session, or delay"):
        await store.submit(opened, [late])
