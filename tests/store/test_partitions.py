"""What a queue over several partitions does beyond what every queue does (the rest of this folder runs for it too)."""

import asyncio
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest

from taskfleet.core.errors import DuplicateTask, NotFound, QueueFull, StoreError, StoreUnreachable
from taskfleet.core.events import Progress, Publication
from taskfleet.core.ratelimit import RateLimits
from taskfleet.core.settlement import Claim, TenantShare, Verdict
from taskfleet.core.task import NewTask, Priority, QueueKey
from taskfleet.store import Store, lua
from taskfleet.store.lua import Script
from taskfleet.store.partitions import known
from taskfleet.store.partitions.home import parts_of, place_of
from tests.store import inside
from tests.store.given import BODY, MODEL, claim_ids, claim_one, error, policy, report, settle, task, tasks
from tests.support.waiting import eventually

PARTITIONS = 4
POLICY = policy(partitions=PARTITIONS)


@pytest.fixture
def spread(store: Store, queue: QueueKey, runner: asyncio.Runner) -> QueueKey:
    runner.run(store.put_policy(queue, POLICY))
    return queue


def at_home_in(place: int, count: int, start: str = "t") -> list[NewTask]:
    """Tasks whose ids belong to one partition."""
    names = (f"{start}{number}" for number in range(100 * count))
    return [task(name) for name in names if place_of(name, PARTITIONS) == place][:count]


def of_session(session: str, *names: str) -> list[NewTask]:
    return [NewTask(name, MODEL, BODY, session=session) for name in names]


def session_at(place: int) -> str:
    return next(f"s{number}" for number in range(100) if place_of(f"s{number}", PARTITIONS) == place)


def test_partitions_are_told_apart_by_their_keys_and_not_in_words() -> None:
    parts = parts_of(QueueKey("team", "hot"), 2)
    assert [inside.keys.prefix(part) for part in parts] == ["tf:{team/hot/2.0}:", "tf:{team/hot/2.1}:"]
    assert {str(part) for part in parts} == {"team/hot"}
    assert parts_of(QueueKey("team", "hot"), 1) == (QueueKey("team", "hot"),)


async def test_tasks_are_spread_about_evenly(store: Store, spread: QueueKey) -> None:
    await store.submit(spread, tasks(2000))
    counts = [await store._connection.call("ZCARD", inside.keys.key(place, "stages")) for place in parts_of(spread, 4)]
    assert counts == [0] * PARTITIONS
    found = [len((await inside._census_of(store, place)).state) for place in await inside.places(store, spread)]
    assert sum(found) == 2000 and min(found) > 400


async def test_a_session_is_in_one_partition_and_runs_in_order_beside_all_others(
    store: Store, spread: QueueKey
) -> None:
    names = {f"s{number}": [f"s{number}.{turn}" for turn in range(5)] for number in range(20)}
    await store.submit(spread, [each for turn in range(5) for s in names for each in of_session(s, names[s][turn])])
    ran: defaultdict[str, list[str]] = defaultdict(list)
    while leased := (await store.claim(spread, "w1", [MODEL], 7)).tasks:
        assert len({each.session for each in leased}) == len(leased), "one at a time"
        for each in leased:
            ran[str(each.session)].append(each.id)
        await store.settle(spread, [settle(each) for each in leased])
    assert ran == names
    await inside.assert_consistent(store, spread)


async def test_priority_and_order_hold_inside_a_partition(store: Store, spread: QueueKey) -> None:
    given = [replace(each, priority=Priority(number % 4)) for number, each in enumerate(tasks(400))]
    await store.submit(spread, given)
    order = {each.id: number for number, each in enumerate(given)}
    served: defaultdict[int, list[str]] = defaultdict(list)
    for _ in range(100):
        leased = await claim_one(store, spread)
        served[place_of(leased.id, PARTITIONS)].append(leased.id)
    for ids in served.values():
        highest = [name for name in ids if given[order[name]].priority is Priority.CRITICAL]
        assert all(order[one] < order[other] for one, other in pairwise(highest)), "first come, first served"
        assert len(highest) >= 0.9 * len(ids), "but for the share of the lower ones"
    assert len(served) == PARTITIONS


async def test_what_is_urgent_in_one_partition_waits_for_one_round_of_claims_at_most(
    store: Store, spread: QueueKey
) -> None:
    await store.submit(spread, tasks(400))
    for number in range(8):
        urgent = task(f"urgent{number}", priority=Priority.CRITICAL)
        await store.submit(spread, [urgent])
        assert urgent.id in [found for _ in range(PARTITIONS) for found in await claim_ids(store, spread)]


async def test_a_partition_that_never_runs_dry_keeps_no_other_from_its_turn(store: Store, spread: QueueKey) -> None:
    busy, quiet = at_home_in(0, 50, "busy"), at_home_in(1, 1, "quiet")
    async with store.listen([spread]) as listener:
        await store.submit(spread, busy[:5])
        await store.submit(spread, quiet)
        claimed: list[str] = []
        for more in busy[5:15]:
            await store.submit(spread, [more])
            await listener.wait(1.0)
            claimed += await claim_ids(store, spread)
        assert quiet[0].id in claimed


async def test_a_claim_brings_what_several_partitions_have_and_never_more(store: Store, spread: QueueKey) -> None:
    await store.submit(spread, tasks(40))
    assert len(await claim_ids(store, spread, 23)) == 23
    assert len(await claim_ids(store, spread, 1)) == 1
    assert len(await claim_ids(store, spread, 100)) == 16
    last = await store.claim(spread, "w1", [MODEL], 100)
    assert last.tasks == () and last.next_due_in is not None and last.next_due_in > 50, "until a lease ends"


async def test_who_finds_everything_dry_asks_first_where_something_came(store: Store, spread: QueueKey) -> None:
    asked: list[QueueKey] = []
    run = store._connection.run

    async def noted(script: Script, queue: QueueKey, *arguments: object) -> object:
        if script is lua.CLAIM:
            asked.append(queue)
        return await run(script, queue, *arguments)

    store._connection.run = noted  # type: ignore[method-assign]
    async with store.listen([spread]) as listener:
        for turn, place in enumerate((2, 0, 3, 3, 1)):
            assert await claim_ids(store, spread, 4) == []
            await store.submit(spread, at_home_in(place, 1, f"{turn}-"))
            assert await listener.wait(5.0) == {spread}
            asked.clear()
            claim = await store.claim(spread, "w1", [MODEL], 4)
            assert (len(claim.tasks), claim.next_due_in) == (1, 0.0), "brought at once; there may be more"
            assert asked == [(await inside.places(store, spread))[place]], "no other one was waited for"


async def test_a_partition_in_trouble_keeps_none_of_the_others_from_working(
    store: Store, spread: QueueKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.submit(spread, tasks(40))
    run, sick = store._connection.run, (await inside.places(store, spread))[2]

    async def troubled(script: Script, queue: QueueKey, *arguments: object) -> object:
        if queue == sick:
            raise StoreUnreachable("this one is down")
        return await run(script, queue, *arguments)

    monkeypatch.setattr(store._connection, "run", troubled)
    found = len(await claim_ids(store, spread, 100))
    assert 20 < found < 40
    with pytest.raises(StoreUnreachable, match="this one is down"):  # not: "nothing is there"
        await store.claim(spread, "w1", [MODEL], 100)
    monkeypatch.undo()
    assert len(await claim_ids(store, spread, 100)) == 40 - found


async def test_a_task_of_a_session_is_found_by_its_id_alone(store: Store, spread: QueueKey) -> None:
    away = session_at(2)
    names = [each.id for each in at_home_in(0, 6, "x")]
    await store.submit(spread, of_session(away, *names))
    views = await store.get(spread, [*names, "nobody"])
    assert [view and view.id for view in views] == [*names, None]
    assert await store.cancel(spread, [names[5], "nobody"]) == {names[5]: "cancelled", "nobody": "not_found"}
    leased = await claim_one(store, spread)
    assert (await store.heartbeat(spread, report(), {leased.id: leased.fence})).lost == frozenset()
    assert (await store.heartbeat(spread, report(), {leased.id: 9, "nobody": 1})).lost == {leased.id, "nobody"}
    assert await store.cancel(spread, [leased.id]) == {leased.id: "cancelling"}
    assert (await store.heartbeat(spread, report(), {leased.id: leased.fence})).cancelled == {leased.id}
    current = await store.current_lease(spread, leased.id)
    assert current is not None and current.fence == leased.fence
    assert await store.ahead_of(spread, names[2]) is not None
    stale = replace(settle(leased), fence=9)
    assert await store.settle(spread, [stale, settle(leased, Verdict.FAIL, error=error())]) == [False, True]
    assert await store.body(spread, leased.id) == BODY
    assert await store.redrive(spread, [leased.id]) == {leased.id: "redriven"}
    await store.forget(spread, names)
    assert await store.get(spread, names) == [None] * 6


async def test_who_claimed_tasks_of_sessions_knows_where_they_are(
    store: Store, spread: QueueKey, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [each.id for each in at_home_in(0, 6, "x")]
    other = await Store.connect(store_url)
    for each, session in zip(names, range(6), strict=True):
        await store.submit(spread, of_session(f"{session_at(2)}{session}", each))
    claim = await store.claim(spread, "w1", [MODEL], 6)
    ran: list[Script] = []
    run = store._connection.run

    async def noted(script: Script, queue: QueueKey, *arguments: object) -> object:
        ran.append(script)
        return await run(script, queue, *arguments)

    monkeypatch.setattr(store._connection, "run", noted)
    assert (await store.heartbeat(spread, report(), {each.id: each.fence for each in claim.tasks})).lost == frozenset()
    assert await store.settle(spread, [settle(each) for each in claim.tasks[:3]]) == [True] * 3
    places = {place_of(str(each.session), PARTITIONS) for each in claim.tasks[:3]}
    assert ran == [lua.HEARTBEAT] * PARTITIONS + [lua.SETTLE] * len(places), "nobody was asked in vain"
    assert await other.settle(spread, [settle(each) for each in claim.tasks[3:]]) == [True] * 3, (
        "who does not know asks"
    )
    await other.close()


async def test_an_id_is_taken_once_whatever_its_session(store: Store, spread: QueueKey) -> None:
    here, there = session_at(0), session_at(1)
    await store.submit(spread, of_session(here, "a", "b"))
    for again in (of_session(there, "a"), [task("a")], [*tasks(5), *of_session(there, "b")]):
        with pytest.raises(DuplicateTask):
            await store.submit(spread, again)
    assert await store.submit(spread, [replace(of_session(there, "a")[0], once=True), task("c")]) == 1
    with pytest.raises(DuplicateTask):
        await store.submit(spread, [*of_session(here, "new"), *of_session(there, "new")])
    await inside.assert_consistent(store, spread)
    stats = await store.stats(spread)
    assert stats is not None and stats.pending == 3


async def test_another_submitter_hears_that_there_are_sessions(store: Store, spread: QueueKey, store_url: str) -> None:
    other = await Store.connect(store_url)
    await store.submit(spread, of_session(session_at(0), *(each.id for each in at_home_in(1, 1))))
    with pytest.raises(DuplicateTask):
        await other.submit(spread, at_home_in(1, 1))
    await other.close()


async def test_max_pending_is_that_of_the_whole_queue(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, replace(POLICY, max_pending=10))
    for each in tasks(8):
        await store.submit(queue, [each])
    with pytest.raises(QueueFull, match=r"8 tasks wait and limits.maxPending is 10; nothing was taken"):
        await store.submit(queue, tasks(3, "more"))
    await store.submit(queue, at_home_in(3, 2, "last"))
    for start in (0, 1, 2, 3):
        with pytest.raises(QueueFull):
            await store.submit(queue, at_home_in(start, 1, "one"))
    with pytest.raises(DuplicateTask):  # who asks again is told that it is there
        await store.submit(queue, tasks(1))
    await claim_ids(store, queue, 4)
    await store.submit(queue, tasks(4, "room"))
    await inside.assert_consistent(store, queue)


async def test_a_tenants_limit_is_that_of_the_whole_queue(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, replace(POLICY, tenants={"gold": TenantShare(1, 5)}))
    gold = [replace(each, tenant="gold") for each in tasks(9)]
    for each in gold[:4]:
        await store.submit(queue, [each])
    with pytest.raises(QueueFull, match="tenant gold has 4 tasks waiting"):
        await store.submit(queue, gold[4:7])
    await store.submit(queue, [gold[4], *tasks(20, "other")])
    with pytest.raises(QueueFull):
        await store.submit(queue, gold[5:6])
    assert await store.tenants(queue) == {"gold": 5, "default": 20}


async def test_submitters_at_one_moment_exceed_the_limit_by_no_more_than_they_bring(
    store: Store, queue: QueueKey, store_url: str
) -> None:
    await store.put_policy(queue, replace(POLICY, max_pending=100))
    others = [await Store.connect(store_url) for _ in range(10)]

    async def fill(number: int, other: Store) -> None:
        for turn in range(100):
            try:
                await other.submit(queue, tasks(3, f"{number}-{turn}-"))
            except QueueFull:
                return

    async with asyncio.TaskGroup() as group:
        for number, other in enumerate(others):
            group.create_task(fill(number, other))
    stats = await store.stats(queue)
    assert stats is not None and 97 < stats.pending <= 100 + 10 * 3 and stats.pending % 3 == 0
    for other in others:
        await other.close()


async def test_limits_of_an_endpoint_and_their_pauses_are_those_of_the_whole_queue(
    store: Store, spread: QueueKey, store_url: str
) -> None:
    other = await Store.connect(store_url)
    limits = RateLimits(requests=3)
    assert (await store.reserve(spread, "pool/llm", limits, [0, 0])).granted == 2
    assert (await other.reserve(spread, "pool/llm", limits, [0, 0])).granted == 1
    version = (await other.claim(spread, "w1", [MODEL], 1)).policy_version
    await store.hold_endpoint(spread, "pool/llm", 30.0)
    assert (await other.claim(spread, "w1", [MODEL], 1)).policy_version > version, "with its next claim"
    await other.close()


async def test_the_policy_version_changes_with_the_policy_and_not_from_claim_to_claim(
    store: Store, spread: QueueKey
) -> None:
    await store.submit(spread, tasks(100))

    async def versions() -> set[int]:
        claims = [await store.claim(spread, "w1", [MODEL], 1) for _ in range(3 * PARTITIONS)]
        return {claim.policy_version for claim in claims[PARTITIONS:]}

    before = await versions()
    await store.put_policy(spread, replace(POLICY, max_attempts=7))
    after = await versions()
    assert len(before) == len(after) == 1 and min(after) > max(before)


async def test_a_pause_holds_everywhere_until_the_same_moment(store: Store, spread: QueueKey) -> None:
    await store.submit(spread, tasks(40))
    end = await store.pause(spread, seconds=60)
    claims: list[Claim] = [await store.claim(spread, "w1", [MODEL], 5) for _ in range(PARTITIONS)]
    assert all(claim.stopped and not claim.tasks for claim in claims)
    stats = await store.stats(spread)
    assert stats is not None and stats.paused and stats.paused_until == end
    assert await store.resume(spread)
    assert len(await claim_ids(store, spread, 40)) == 40


async def test_the_number_cannot_change_while_the_queue_exists(store: Store, spread: QueueKey) -> None:
    for number in (1, 5):
        with pytest.raises(StoreError, match=rf"has 4 in this store, and was given {number}; .* make it anew"):
            await store.put_policy(spread, replace(POLICY, partitions=number))
    assert await store.put_policy(spread, POLICY) is False
    assert await store.policy(spread) == POLICY


async def test_a_queue_made_anew_with_another_number_is_found_by_who_knew_the_old_one(
    store: Store, spread: QueueKey, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await Store.connect(store_url)
    await other.submit(spread, tasks(20))
    await store.drop_queue(spread)
    assert await inside.key_names(store, spread) == set()
    for number in (2, 1, 3):
        await store.put_policy(spread, replace(POLICY, partitions=number))
        with pytest.raises(NotFound):  # what it would submit to the old places would be lost
            await other.submit(spread, tasks(20))
        assert (await other.claim(spread, "w1", [MODEL], 5)).stopped
        with monkeypatch.context() as patch:
            patch.setattr(known, "_KNOWN_SECONDS", -1.0)
            assert await other.submit(spread, tasks(20)) == 20
        await store.drop_queue(spread)
        assert await inside.key_names(store, spread) == set()
    await other.close()


async def test_a_drop_that_was_broken_off_is_finished_by_the_next(
    store: Store, spread: QueueKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.submit(spread, tasks(100))
    scan, last = store._connection.scan, (await inside.places(store, spread))[3]

    async def broken(queue: QueueKey, cursor: int, count: int) -> object:
        if queue == last:
            raise StoreUnreachable("the line is cut")
        return await scan(queue, cursor, count)

    with monkeypatch.context() as patch:
        patch.setattr(store._connection, "scan", broken)
        with pytest.raises(StoreUnreachable):
            await store.drop_queue(spread)
    with pytest.raises(NotFound):
        await store.submit(spread, tasks(1, "new"))
    await store.drop_queue(spread)
    assert await inside._keys_in(store, last) == set()


async def test_dead_letters_and_what_waits_are_merged_in_their_order(store: Store, spread: QueueKey) -> None:
    given = [replace(each, priority=Priority(number % 4)) for number, each in enumerate(tasks(80))]
    await store.submit(spread, given)
    seen = [each.priority async for each in store.waiting(spread)]
    assert seen == sorted(seen) and len(seen) == 80
    for leased in (await store.claim(spread, "w1", [MODEL], 20)).tasks:
        await store.settle(spread, [settle(leased, Verdict.FAIL, error=error())])
    failed = [letter.failed_at async for letter in store.dead_letters(spread)]
    assert failed == sorted(failed) and len(failed) == 20


async def test_a_place_in_line_counts_the_other_partitions(store: Store, spread: QueueKey) -> None:
    await store.submit(spread, tasks(400))
    for name in ("t00000", "t00200", "t00399"):
        said = await store.ahead_of(spread, name)
        assert said is not None and abs(said - int(name[1:])) < 60, name


async def test_equal_workers_get_equal_shares_of_every_partition(store: Store, spread: QueueKey) -> None:
    await store.submit(spread, tasks(400))
    claims = [await claim_ids(store, spread, 5) for _ in range(40)]
    places = Counter(place_of(name, PARTITIONS) for ids in claims for name in ids)
    assert set(places) == set(range(PARTITIONS)) and max(places.values()) <= 2 * min(places.values())


@pytest.mark.parametrize("session", [None, "elsewhere"])
async def test_what_is_told_of_a_task_is_read_wherever_it_is(
    store: Store, spread: QueueKey, session: str | None
) -> None:
    await store.submit(spread, [replace(each, session=session, events=True) for each in at_home_in(0, 1)])
    leased = await claim_one(store, spread)
    assert await store.publish(spread, [Publication(leased.id, leased.fence, 1, (b"{}", b"{}"), {})]) == [True]
    assert await store.progress(spread, leased.id, leased.fence, Progress(0.5, "half"))
    assert not await store.progress(spread, leased.id, 9, Progress(0.9))
    assert await anext(aiter(store.all_progress(spread))) == {leased.id: Progress(0.5, "half")}
    await store.settle(spread, [settle(leased)])
    kinds = [event.kind.value async for event in store.events(spread, leased.id)]
    assert kinds == ["started", "chunk", "chunk", "progress", "finished"]
    with pytest.raises(NotFound):
        await anext(aiter(store.events(spread, "nobody")))


async def test_the_end_of_a_task_is_heard_under_the_name_of_its_queue(store: Store, spread: QueueKey) -> None:
    heard = asyncio.create_task(anext(aiter(store.ends())))
    await store.submit(spread, at_home_in(0, 1))
    leased = await claim_one(store, spread)

    async def is_followed() -> bool:
        return bool(await store._connection.call("PUBSUB", "NUMPAT"))

    await eventually(is_followed, "the ends to be followed")
    await store.settle(spread, [settle(leased)])
    assert await heard == (spread, {leased.id: None})
