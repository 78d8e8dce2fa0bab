"""Which endpoint gets the next worker, by each strategy."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.core.pool import EndpointObserved, EndpointPolicy, Strategy
from taskfleet.core.scaling import ScalingTarget
from taskfleet.core.sharing import share_backlog
from tests.core.given import endpoint, has, pool

A, B = endpoint("a"), endpoint("b")  # four at once, ten workers, four waiting tasks a worker: room for forty each
BIG = 10_000


def shares(strategy: Strategy, waiting: int, *policies: EndpointPolicy, **seen: EndpointObserved) -> list[int]:
    known = {policy.name: seen.get(policy.name, has(0)) for policy in policies}
    return list(share_backlog(pool(*policies, strategy=strategy), {"small": waiting}, known).values())


def test_round_robin_gives_each_as_many_workers() -> None:
    assert shares(Strategy.ROUND_ROBIN, 40, A, replace(B, max_workers=100)) == [20, 20]
    assert shares(Strategy.ROUND_ROBIN, 60, replace(A, concurrency=8), B) == [40, 20]


def test_least_loaded_gives_each_by_what_it_can_run_at_once() -> None:
    assert shares(Strategy.LEAST_LOADED, 40, A, replace(B, max_workers=30)) == [12, 28]  # in whole workers of four


def test_weighted_gives_each_by_its_weight() -> None:
    assert shares(Strategy.WEIGHTED, 40, replace(A, weight=4), B) == [32, 8]


def test_cheapest_fills_the_cheapest_before_the_next() -> None:
    dear, cheap = replace(A, cost=3.0), replace(B, cost=0.5)
    assert shares(Strategy.CHEAPEST, 12, dear, cheap) == [0, 12]
    assert shares(Strategy.CHEAPEST, 60, dear, cheap) == [20, 40]


def test_what_runs_already_takes_room() -> None:
    dear, cheap = replace(A, cost=3.0), replace(B, cost=0.5)
    assert shares(Strategy.CHEAPEST, 12, dear, cheap, b=has(10, inflight=36)) == [8, 4]


def test_fastest_fills_the_fastest_before_the_next() -> None:
    slow, quick = has(1, seconds_per_task=9.0), has(1, seconds_per_task=1.0)
    assert shares(Strategy.FASTEST, 12, A, B, a=slow, b=quick) == [0, 12]
    assert shares(Strategy.FASTEST, 60, A, B, a=slow, b=quick) == [20, 40]


def test_fastest_takes_two_that_are_about_as_fast_for_equals() -> None:
    assert shares(Strategy.FASTEST, 40, A, B, a=has(1, seconds_per_task=1.0), b=has(1, seconds_per_task=1.4)) == [
        20,
        20,
    ]


def test_fastest_tries_one_that_was_never_measured() -> None:
    assert shares(Strategy.FASTEST, 40, A, B, a=has(1, seconds_per_task=1.0)) == [20, 20]


def test_a_drain_time_is_what_the_first_choice_must_keep() -> None:
    """30 tasks of 10 s in 60 s: one at a time, five workers do it; the cheapest may have only three of them."""
    cheap = replace(A, concurrency=1, max_workers=3, cost=0.5)
    dear = replace(B, concurrency=1, cost=3.0)
    drained = pool(cheap, dear, strategy=Strategy.CHEAPEST, target=ScalingTarget(drain_seconds=60))
    slow = has(0, seconds_per_task=10.0)
    assert share_backlog(drained, {"small": 30}, {"a": slow, "b": slow}) == {"a": 18, "b": 12}


@pytest.mark.parametrize("strategy", Strategy)
def test_one_task_wakes_one_worker_and_a_sick_endpoint_gets_none(strategy: Strategy) -> None:
    sick = has(0, healthy=False, trouble="refused")
    assert sorted(shares(strategy, 1, A, B)) == [0, 1]
    assert shares(strategy, 9, A, B, a=sick) == [0, 9]
    assert sum(shares(strategy, 9, A, B, a=sick, b=sick)) == 9


@pytest.mark.parametrize("strategy", Strategy)
def test_more_than_all_can_drain_is_still_shared_out_so_that_limits_are_told(strategy: Strategy) -> None:
    assert sum(shares(strategy, BIG, A, replace(B, weight=3, cost=1.0))) == BIG


policies = st.builds(
    EndpointPolicy,
    st.sampled_from("abcdef"),
    st.frozensets(st.sampled_from(["x", "y"]), min_size=1),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([0.0, 1.0, 2.5]),
)


@given(
    st.lists(policies, min_size=1, max_size=6, unique_by=lambda policy: policy.name),
    st.sampled_from(Strategy),
    st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 500)),
    st.lists(st.none() | st.floats(0.01, 50), min_size=6, max_size=6),
)
def test_every_task_of_a_served_lane_is_shared_out_once(
    endpoints: list[EndpointPolicy], strategy: Strategy, backlog: dict[str, int], speeds: list[float | None]
) -> None:
    seen = {each.name: has(1, seconds_per_task=speed) for each, speed in zip(endpoints, speeds, strict=False)}
    shared = share_backlog(pool(*endpoints, strategy=strategy), backlog, seen)
    served = {lane for each in endpoints for lane in each.models}
    assert sum(shared.values()) == sum(number for lane, number in backlog.items() if lane in served)
    assert all(number >= 0 for number in shared.values())
