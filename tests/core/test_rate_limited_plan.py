"""A plan asks for no more workers than an endpoint's rate limit keeps busy, and says so."""

from dataclasses import replace
from typing import Any

import pytest

from taskfleet.core.conditions import Status
from taskfleet.core.plan import plan
from taskfleet.core.pool import EndpointPolicy, Strategy
from taskfleet.core.ratelimit import RateLimits
from taskfleet.core.scaling import ScalingTarget, busy_workers
from tests.core.given import NOW, condition, endpoint, has, only, pool, seen, waiting, workers_of


def limited(
    name: str = "llm", *, requests: int | None = None, tokens: int | None = None, **more: Any
) -> EndpointPolicy:
    return replace(endpoint(name, **more), limits=RateLimits(requests, tokens))


@pytest.mark.parametrize(
    ("requests", "tokens", "tokens_per_task", "rate"),
    [
        (None, None, 100.0, None),
        (60, None, None, 60.0),
        (None, 6000, 100.0, 60.0),
        (None, 6000, None, None),
        (600, 6000, 100.0, 60.0),
        (30, 6000, 100.0, 30.0),
    ],
)
def test_the_tighter_of_two_limits_counts_once_it_is_known(
    requests: int | None, tokens: int | None, tokens_per_task: float | None, rate: float | None
) -> None:
    assert RateLimits(requests, tokens).tasks_per_minute(tokens_per_task) == rate


@pytest.mark.parametrize(
    ("rate", "concurrency", "seconds", "workers"),
    [(60, 1, 10.0, 10), (60, 4, 10.0, 3), (60, 4, 0.5, 1), (1, 1, 1.0, 1), (600, 1, None, 20)],
)
def test_a_limit_keeps_busy_what_runs_at_once_at_its_rate(
    rate: float, concurrency: int, seconds: float | None, workers: int
) -> None:
    assert busy_workers(rate, concurrency=concurrency, seconds_per_task=seconds) == workers


def test_workers_stop_growing_where_the_limit_has_no_more_work_for_them() -> None:
    decided = plan(
        pool(limited(requests=60)), seen(waiting(small=400), llm=has(1, inflight=1, seconds_per_task=10.0)), NOW
    )
    assert (only(decided).workers, only(decided).reason) == (3, "EndpointRateLimit")
    assert only(decided).message == (
        "400 waiting and 1 running tasks would use 101 workers; the endpoint's rate limit of 60 requests a minute can "
        "keep 3 busy"
    )
    assert condition(decided, "ScalingLimited").reason == "EndpointRateLimit"


def test_workers_that_run_tasks_stay_whatever_the_limit() -> None:
    observed = seen(waiting(small=400), llm=has(9, inflight=32, seconds_per_task=1.0))
    assert only(plan(pool(limited(requests=60)), observed, NOW)).workers >= 8


def test_the_tighter_maximum_is_the_one_that_is_told() -> None:
    observed = seen(waiting(small=400), llm=has(1, seconds_per_task=10.0))
    assert only(plan(pool(limited(requests=60, max_workers=2)), observed, NOW)).reason == "EndpointMaxWorkers"


def test_tasks_beyond_a_limit_go_to_an_endpoint_that_has_none() -> None:
    endpoints = limited("paid", requests=60, concurrency=1), endpoint("own", concurrency=1, max_workers=50)
    observed = seen(waiting(small=600), paid=has(seconds_per_task=1.0), own=has(seconds_per_task=1.0))
    policy = pool(*endpoints, target=ScalingTarget(drain_seconds=60), strategy=Strategy.FASTEST, max_workers=100)
    assert workers_of(plan(policy, observed, NOW)) == {"paid": 1, "own": 9}


def test_a_queue_that_stands_still_for_the_limit_says_so_and_is_no_trouble() -> None:
    waits = "its limit of 60 requests a minute is used up"
    observed = seen(waiting(small=40), llm=has(2, waits=waits, seconds_per_task=1.0))
    ready = condition(plan(pool(limited(requests=60)), observed, NOW), "Ready")
    assert (ready.status, ready.reason) == (Status.TRUE, "RateLimited")
    assert ready.message.endswith(f"; its workers wait: {waits}")


def test_nothing_stands_still_while_another_endpoint_works_or_no_task_waits() -> None:
    both = pool(limited("a", requests=60), endpoint("b"))
    waits = has(1, waits="its limit of 60 requests a minute is used up")
    working = plan(both, seen(waiting(small=40), a=waits, b=has(1)), NOW)
    assert condition(working, "Ready").reason != "RateLimited"
    assert condition(plan(both, seen(waiting(), a=waits, b=has(1)), NOW), "Ready").reason != "RateLimited"
