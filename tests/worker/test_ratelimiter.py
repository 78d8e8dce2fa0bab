"""The worker's side of the rate limit, with a store that is slow, away, or has told of a pause."""

from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from taskfleet.api.endpoint import Endpoint, RateLimit
from taskfleet.core.errors import StoreUnreachable
from taskfleet.core.outcome import EndpointDown, Fatal, Ok, RateLimited
from taskfleet.core.ratelimit import START_WITHIN_SECONDS, RateLimits
from taskfleet.core.task import LeasedTask, Priority, QueueKey, TaskError, Usage
from taskfleet.store import Store
from taskfleet.telemetry.workermetrics import WorkerMetrics
from taskfleet.worker import ratelimiter
from taskfleet.worker.ratelimiter import RateLimiter
from taskfleet.worker.settings import WorkerSettings
from tests.support.workerprocess import MODEL, quick_policy

ENDPOINT = "pool/stub"
TROUBLE = TaskError("x", "y")


def limiter(store: Any, queue: QueueKey, **limits: int) -> RateLimiter:
    endpoint = Endpoint(
        name="stub",
        url="http://127.0.0.1/v1",
        models=[MODEL],
        rate_limit=RateLimit(requests_per_minute=limits.get("requests"), tokens_per_minute=limits.get("tokens"))
        if limits
        else None,
    )
    settings = WorkerSettings("", queue, "pool", endpoint, "me", None, 60.0)
    metrics = WorkerMetrics(
        CollectorRegistry(),
        namespace="test",
        queue="q",
        pool="pool",
        endpoint="stub",
        models=[MODEL],
        limits=endpoint.limits,
    )
    return RateLimiter(store, settings, metrics)


def tasks(*texts: str) -> list[LeasedTask]:
    return [
        LeasedTask(
            f"t{number}",
            MODEL,
            orjson.dumps({"messages": [{"role": "user", "content": text}], "parameters": {"max_tokens": 10}}),
            Priority.NORMAL,
            1,
            1,
            0.0,
            0.0,
        )
        for number, text in enumerate(texts)
    ]


class Counting:
    """A store that counts how often it was asked to reserve."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.times = 0

    async def reserve(self, *asked: Any) -> Any:
        self.times += 1
        return await self._store.reserve(*asked)


class Clock:
    """In place of the module ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    ours = Clock()
    monkeypatch.setattr(ratelimiter, "time", ours)
    return ours


async def tokens_counted(store: Store, queue: QueueKey) -> int:
    return (await store.reserve(queue, ENDPOINT, RateLimits(tokens=1000))).tokens


async def test_what_a_slow_store_granted_too_long_ago_is_not_started(
    store: Store, queue: QueueKey, clock: Clock
) -> None:
    ours = limiter(store, queue, requests=5)
    assert await ours.allow(2) == 2
    clock.now += START_WITHIN_SECONDS + 0.01
    assert await ours.admit(tasks("a", "b")) == 0
    assert await ours.allow(2) == 2
    assert await ours.admit(tasks("a", "b")) == 2


async def test_a_task_that_is_larger_than_thought_goes_back_and_is_not_claimed_again_before_it_has_room(
    store: Store, queue: QueueKey
) -> None:
    ours = limiter(store, queue, tokens=1000)
    assert await ours.allow(3) == 3
    assert await ours.admit(tasks("a", "x" * 3000, "y" * 3000)) == 2
    assert await ours.allow(1) == 0
    assert ours.waits == "its limit of 1000 tokens a minute is used up"
    ours.ended("t1", Fatal(TROUBLE))
    assert ours.holds(0.0) == 0.0
    assert await ours.allow(1) == 1
    assert ours.waits == ""


@pytest.mark.parametrize("limits", [{"requests": 10}, {"tokens": 1000}, {"requests": 10, "tokens": 1000}])
async def test_what_was_reserved_for_more_than_the_claim_brought_is_given_back_while_they_run(
    limits: dict[str, int], store: Store, queue: QueueKey
) -> None:
    asking = Counting(store)
    ours = limiter(asking, queue, **limits)
    await ours.allow(1)
    await ours.admit(tasks("a"))  # from now on it knows how large a task is
    assert await ours.allow(8) == 8
    asked = asking.times
    assert await ours.admit(tasks("b", "c")) == 2
    assert asking.times == asked, "the tasks would wait for it"
    await ours.flush()
    counted = await store.reserve(queue, ENDPOINT, RateLimits(10, 1000), [], [])
    assert counted.requests == 3
    for number in range(2):
        ours.ended(f"t{number}", Fatal(TROUBLE))
    await ours.flush()
    assert await tokens_counted(store, queue) == counted.tokens / 3, "each is counted by its own estimate"


@pytest.mark.parametrize("limits", [{"requests": 50}, {"tokens": 1000}, {"requests": 50, "tokens": 1000}])
async def test_room_is_sure_where_there_was_twice_as_much_the_last_time(
    limits: dict[str, int], store: Store, queue: QueueKey
) -> None:
    ours = limiter(store, queue, **limits)
    assert not ours.has_room_for(1), "nothing is known yet"
    await ours.allow(1)
    await ours.admit(tasks("hello"))
    counted = await store.reserve(queue, ENDPOINT, RateLimits(50, 1000))
    of_requests = (50 - 1) // 2 if "requests" in limits else 1000
    of_tokens = (1000 - counted.tokens) // (2 * counted.tokens) if "tokens" in limits else 1000
    sure = min(of_requests, of_tokens)
    assert ours.has_room_for(sure)
    assert not ours.has_room_for(sure + 1)
    await store.hold_endpoint(queue, ENDPOINT, 30.0)
    await ours.look()
    assert not ours.has_room_for(1), "the server asked for a pause"


async def test_what_was_claimed_before_it_was_known_how_many_may_start_is_admitted_only_as_far_as_that(
    store: Store, queue: QueueKey
) -> None:
    asking = Away(store)
    ours = limiter(asking, queue, requests=10)
    await ours.allow(1)
    await ours.admit(tasks("a"))
    await store.reserve(queue, ENDPOINT, RateLimits(requests=10), [0] * 8)  # another worker
    assert await ours.allow(3) == 1
    assert await ours.admit(tasks("b", "c", "d")) == 1
    await ours.flush()
    assert (await store.reserve(queue, ENDPOINT, RateLimits(requests=10))).requests == 10
    asking.away = True
    with pytest.raises(StoreUnreachable):
        await ours.allow(3)
    assert not ours.has_room_for(1)
    assert await ours.admit(tasks("b", "c", "d")) == 0


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        (Ok("hi", Usage(100, 50)), 150),
        (Ok("hi", Usage()), None),
        (Fatal(TROUBLE), 0),
        (RateLimited(TROUBLE), 0),
        (EndpointDown(TROUBLE, reached=False), 0),
        (EndpointDown(TROUBLE), None),
        (None, None),
    ],
)
async def test_a_call_counts_what_it_used_or_the_estimate_when_nobody_knows(
    outcome: Any, counts: int | None, store: Store, queue: QueueKey
) -> None:
    ours = limiter(store, queue, tokens=1000)
    await ours.allow(1)
    await ours.admit(tasks("hello"))
    estimate = await tokens_counted(store, queue)
    ours.ended("t0", outcome)
    await ours.flush()
    assert await tokens_counted(store, queue) == (estimate if counts is None else counts)


async def test_a_pause_is_kept_by_the_others_and_ends(store: Store, queue: QueueKey, clock: Clock) -> None:
    await store.put_policy(queue, quick_policy())
    told, other, limited = limiter(store, queue), limiter(store, queue), limiter(store, queue, requests=5)
    told.pause(30.0)
    await told.tell()
    for each in (told, other, limited):
        await each.look()
        assert 29.0 < each.holds(clock.now) <= 30.0
        assert each.waits == "the server asked for a pause (Retry-After)"
        assert await each.admit(tasks("a")) == 0
    clock.now += 30.0
    assert (other.holds(clock.now), await other.allow(4), other.waits) == (0.0, 4, "")


class Away:
    """A store that is away when the test says so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False

    async def reserve(self, *arguments: Any) -> Any:
        if self.away:
            raise StoreUnreachable("away on purpose")
        return await self._store.reserve(*arguments)


async def test_while_the_store_is_away_nothing_is_given_back_twice_and_what_was_used_is_kept(
    store: Store, queue: QueueKey
) -> None:
    cut = Away(store)
    ours = limiter(cut, queue, tokens=1000)
    await ours.allow(2)
    await ours.admit(tasks("a", "b"))
    before = await tokens_counted(store, queue)
    ours.ended("t0", Ok("hi", Usage(500, 0)))
    ours.ended("t1", Fatal(TROUBLE))
    cut.away = True
    with pytest.raises(StoreUnreachable):
        await ours.flush()
    cut.away = False
    await ours.flush()
    assert await tokens_counted(store, queue) == before + 500 - before // 2
