"""What holds for every plan, whatever is seen."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from taskfleet.core.plan import Plan, plan
from taskfleet.core.pool import (
    AutoscalingMode,
    EndpointObserved,
    EndpointPolicy,
    Execution,
    Observed,
    PoolPolicy,
    QueueObserved,
    StopPolicy,
    Strategy,
)
from taskfleet.core.scaling import Patience, ScaleMemory, ScalingTarget, needed_workers, stabilise
from tests.core.given import NOW, endpoint, has, only, pool, seen, waiting

LANES = ("x", "y", "z", "nobody")
numbers = st.integers(0, 30)
delays = st.integers(0, 200_000).map(lambda milliseconds: milliseconds / 1000)
past = st.none() | st.floats(NOW - 400, NOW)
memories = st.builds(ScaleMemory, past, numbers, past)


@st.composite
def endpoint_policies(draw: st.DrawFn, name: str) -> EndpointPolicy:
    models = draw(st.frozensets(st.sampled_from(LANES[:3]), min_size=1))
    weight, cost = draw(st.integers(1, 5)), draw(st.sampled_from((0.0, 0.5, 3.0)))
    return EndpointPolicy(name, models, draw(st.integers(1, 8)), draw(st.integers(1, 12)), weight, cost)


@st.composite
def pools(draw: st.DrawFn) -> PoolPolicy:
    names = [f"e{number}" for number in range(draw(st.integers(0, 5)))]
    most = draw(st.integers(1, 25))
    drain = st.builds(ScalingTarget, st.floats(1, 600))
    ratio = st.builds(ScalingTarget, st.just(60.0), st.integers(1, 50))
    return PoolPolicy(
        endpoints=tuple(draw(endpoint_policies(name)) for name in names),
        min_workers=draw(st.integers(0, most)),
        max_workers=most,
        target=draw(drain | ratio),
        patience=Patience(draw(delays), draw(delays)),
        strategy=draw(st.sampled_from(Strategy)),
        mode=draw(st.sampled_from(AutoscalingMode)),
        replicas=draw(st.none() | numbers),
    )


@st.composite
def observed_endpoints(draw: st.DrawFn) -> EndpointObserved:
    workers = draw(st.integers(0, 15))
    return EndpointObserved(
        workers=workers,
        ready=draw(st.integers(0, workers)),
        inflight=draw(st.integers(0, 8 * workers)),
        healthy=draw(st.sampled_from((None, True, False))),
        trouble="refused",
        seconds_per_task=draw(st.none() | st.floats(0.01, 100)),
    )


@st.composite
def queues(draw: st.DrawFn) -> QueueObserved:
    if draw(st.integers(0, 9)) == 0:
        return QueueObserved(exists=False)
    stop = draw(st.sampled_from((StopPolicy.NONE, StopPolicy.NONE, StopPolicy.HOLD, StopPolicy.HOLD_AND_DRAIN)))
    if draw(st.integers(0, 9)) == 0:
        return QueueObserved(True, stop, None, "StoreUnreachable", "gone")
    return QueueObserved(
        True,
        stop,
        draw(st.dictionaries(st.sampled_from(LANES), st.integers(0, 2000))),
        execution=draw(st.sampled_from((*3 * (Execution.WORKERS,), Execution.EXTERNAL))),
        pause=draw(st.sampled_from(("", "", "", "paused until someone resumes it"))),
    )


def followed_queues() -> st.SearchStrategy[QueueObserved]:
    """Those whose backlog says how many workers there are."""
    backlogs = st.dictionaries(st.sampled_from(LANES), st.integers(0, 2000))
    return st.builds(QueueObserved, st.just(True), st.just(StopPolicy.NONE), backlogs)


@st.composite
def worlds(draw: st.DrawFn, queue: st.SearchStrategy[QueueObserved] | None = None) -> tuple[PoolPolicy, Observed]:
    policy = draw(pools())
    names = [each.name for each in policy.endpoints]
    endpoints = {name: draw(observed_endpoints()) for name in names if draw(st.integers(0, 4))}
    memory = {name: draw(memories) for name in names if draw(st.booleans())}
    return policy, Observed(draw(queues() if queue is None else queue), endpoints, memory)


def follows_the_queue(policy: PoolPolicy, observed: Observed) -> bool:
    queue = observed.queue
    served = queue.exists and queue.backlog is not None and not queue.is_external
    return served and not queue.hold and policy.mode is AutoscalingMode.OPERATOR


def workers_seen(policy: PoolPolicy, observed: Observed) -> dict[str, EndpointObserved]:
    return {each.name: observed.endpoints.get(each.name, EndpointObserved()) for each in policy.endpoints}


def carried_out(observed: Observed, decided: Plan) -> Observed:
    """The same world after the plan: its workers are there, its memory is kept."""
    endpoints = {
        planned.name: replace(observed.endpoints.get(planned.name, EndpointObserved()), workers=planned.workers)
        for planned in decided.endpoints
    }
    return replace(observed, endpoints=endpoints, memory=decided.memory)


@given(worlds())
def test_no_endpoint_and_no_pool_ever_exceeds_its_maximum(world: tuple[PoolPolicy, Observed]) -> None:
    policy, observed = world
    decided = plan(policy, observed, NOW)
    assert decided.workers <= policy.max_workers
    for limit, planned in zip(policy.endpoints, decided.endpoints, strict=True):
        assert 0 <= planned.workers <= limit.max_workers


@given(worlds())
def test_a_pool_has_its_minimum_unless_it_drains_has_no_queue_or_people_decide(
    world: tuple[PoolPolicy, Observed],
) -> None:
    policy, observed = replace(world[0], mode=AutoscalingMode.OPERATOR), world[1]
    queue = observed.queue
    assume(queue.exists and not queue.is_external and queue.stop is not StopPolicy.HOLD_AND_DRAIN)
    possible = min(policy.min_workers, sum(each.max_workers for each in policy.endpoints))
    assert plan(policy, observed, NOW).workers >= possible


@given(worlds(followed_queues()))
def test_no_endpoint_has_fewer_workers_than_its_running_tasks_occupy_unless_limits_force_it(
    world: tuple[PoolPolicy, Observed],
) -> None:
    policy, observed = world
    policy = replace(policy, max_workers=1000, mode=AutoscalingMode.OPERATOR)
    assume(follows_the_queue(policy, observed))
    now_seen = workers_seen(policy, observed)
    occupied = {
        each.name: min(math.ceil(now_seen[each.name].inflight / each.concurrency), each.max_workers)
        for each in policy.endpoints
        if now_seen[each.name].healthy is not False
    }
    for planned in plan(policy, observed, NOW).endpoints:
        assert planned.workers >= occupied.get(planned.name, 0)


@given(worlds())
def test_an_unseen_queue_changes_nothing_within_the_limits(world: tuple[PoolPolicy, Observed]) -> None:
    policy, observed = world
    there = {name: each.workers for name, each in workers_seen(policy, observed).items()}
    roomy = tuple(replace(each, max_workers=99) for each in policy.endpoints)
    policy = replace(policy, endpoints=roomy, min_workers=0, max_workers=999, mode=AutoscalingMode.OPERATOR)
    blind = replace(observed, queue=QueueObserved(backlog=None, unseen_reason="StoreUnreachable", unseen="gone"))
    decided = plan(policy, blind, NOW)
    assert {planned.name: planned.workers for planned in decided.endpoints} == there
    assert all(planned.reason == "StoreUnreachable" for planned in decided.endpoints)


@given(worlds(followed_queues()))
def test_every_waiting_task_of_a_healthy_served_lane_has_a_worker_that_will_take_it(
    world: tuple[PoolPolicy, Observed],
) -> None:
    policy = replace(
        world[0], max_workers=world[0].max_workers + len(world[0].endpoints), mode=AutoscalingMode.OPERATOR
    )
    observed = world[1]
    assume(follows_the_queue(policy, observed))
    now_seen = workers_seen(policy, observed)
    decided = {planned.name: planned.workers for planned in plan(policy, observed, NOW).endpoints}
    for lane, tasks in (observed.queue.backlog or {}).items():
        able = [
            each.name for each in policy.endpoints if lane in each.models and now_seen[each.name].healthy is not False
        ]
        if tasks and able:
            assert any(decided[name] for name in able)


@given(worlds())
def test_a_carried_out_plan_is_not_changed_by_planning_again(world: tuple[PoolPolicy, Observed]) -> None:
    policy, observed = world
    first = plan(policy, observed, NOW)
    second = plan(policy, carried_out(observed, first), NOW)
    assert [(p.name, p.workers) for p in second.endpoints] == [(p.name, p.workers) for p in first.endpoints]


@given(worlds())
def test_the_same_sight_gives_the_same_plan(world: tuple[PoolPolicy, Observed]) -> None:
    assert plan(*world, NOW) == plan(*world, NOW)


@given(worlds())
def test_the_next_look_is_in_the_future_and_whatever_is_decided_has_words(world: tuple[PoolPolicy, Observed]) -> None:
    decided = plan(*world, NOW)
    assert decided.look_again_at is None or decided.look_again_at > NOW
    for planned in decided.endpoints:
        assert planned.reason and planned.message
    assert [each.type for each in decided.conditions] == [
        "Ready",
        "ScalingActive",
        "ScalingLimited",
        "ScalingDisputed",
        "EndpointsHealthy",
    ]
    for told in decided.conditions:
        assert told.reason and told.message


@given(worlds())
def test_nothing_that_time_will_change_goes_without_a_next_look(world: tuple[PoolPolicy, Observed]) -> None:
    """A world in which nothing else happens: without a next look the plan is the same for ever."""
    policy, observed = world
    for _ in range(4 * len(policy.endpoints) + 8):
        decided = plan(policy, observed, NOW)
        observed = carried_out(observed, decided)
    decided = plan(policy, observed, NOW)
    if decided.look_again_at is None:
        later = plan(policy, carried_out(observed, decided), NOW + 10_000)
        assert [p.workers for p in later.endpoints] == [p.workers for p in decided.endpoints]


@given(numbers, numbers, st.builds(Patience, delays, delays), memories)
def test_growing_is_at_once_and_shrinking_only_after_the_delay(
    current: int, wanted: int, patience: Patience, memory: ScaleMemory
) -> None:
    settled = stabilise(current=current, wanted=wanted, patience=patience, memory=memory, now=NOW)
    if wanted >= current:
        assert settled.workers == wanted
    else:
        assert wanted <= settled.workers <= current
    if settled.workers < current and settled.workers:
        assert (NOW if memory.lower_since is None else memory.lower_since) + patience.scale_down <= NOW
        assert settled.workers >= min(current, memory.lower_peak) or patience.scale_down == 0
    if settled.workers == 0 and current:
        assert (NOW if memory.idle_since is None else memory.idle_since) + patience.scale_to_zero <= NOW
    assert settled.look_again_at is None or settled.look_again_at > NOW


@given(
    backlog=st.integers(0, 10**9),
    inflight=st.integers(0, 10**6),
    concurrency=st.integers(1, 1024),
    seconds=st.none() | st.floats(0, 1e6),
    target=st.builds(ScalingTarget, st.floats(1, 1e5), st.none() | st.integers(1, 10**6)),
)
def test_needed_workers_grow_with_the_load_and_are_all_of_use(
    backlog: int, inflight: int, concurrency: int, seconds: float | None, target: ScalingTarget
) -> None:
    def needed(waiting: int) -> int:
        return needed_workers(
            backlog=waiting, inflight=inflight, concurrency=concurrency, seconds_per_task=seconds, target=target
        )

    assert (needed(backlog) == 0) == (backlog + inflight == 0)
    assert math.ceil(inflight / concurrency) <= needed(backlog) <= math.ceil((backlog + inflight) / concurrency)
    assert needed(backlog) <= needed(backlog + 1)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(1, 200), st.integers(1, 300)), min_size=1, max_size=5), st.integers(1, 8))
def test_over_a_simulated_day_workers_rise_with_bursts_and_fall_once_to_zero(
    bursts: list[tuple[float, int]], concurrency: int
) -> None:
    """Each worker ends ``concurrency`` tasks every two seconds. No worker goes and comes back inside one delay."""
    policy = pool(endpoint(concurrency=concurrency), target=ScalingTarget(30), patience=Patience(20, 40))
    arrivals = [(sum(gap for gap, _ in bursts[: at + 1]), tasks) for at, (_, tasks) in enumerate(bursts)]
    clock, left, workers, memory = 0.0, 0, 0, {}
    moves: list[tuple[float, int]] = []
    while clock < 1000 or left:
        left += sum(tasks for at, tasks in arrivals if clock - 2 < at <= clock)
        inflight = min(left, workers * concurrency)
        sight = seen(waiting(small=left - inflight), memory, llm=has(workers, inflight=inflight, seconds_per_task=2.0))
        decided = plan(policy, sight, clock)
        if only(decided).workers != workers:
            moves.append((clock, only(decided).workers - workers))
        workers, memory = only(decided).workers, dict(decided.memory)
        left -= min(left, workers * concurrency)
        clock += 2.0
    assert workers == 0
    assert moves[0][1] > 0 and moves[-1][1] < 0
    growths = [at for at, change in moves if change > 0]
    assert all(any(0 <= at - arrived <= 2 for arrived, _ in arrivals) for at in growths), "grew without a burst"
    for (at, change), (next_at, next_change) in pairwise(moves):
        assert not (change > 0 and next_change < 0 and next_at - at < 20), "shrank inside the delay after growing"


def test_ten_thousand_endpoints_are_one_plan() -> None:
    many = tuple(EndpointPolicy(f"e{n}", frozenset({f"m{n % 50}"}), 4, 10) for n in range(10_000))
    big = replace(pool(*many), max_workers=20_000)
    queue = QueueObserved(backlog={f"m{n}": 20_000 for n in range(50)})
    there: Mapping[str, Any] = {each.name: has(1, inflight=2) for each in many}
    decided = plan(big, Observed(queue, there), NOW)
    assert decided.workers == 20_000
