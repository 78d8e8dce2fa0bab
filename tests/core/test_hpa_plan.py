"""In mode HPA the HPA says how many workers there are, the load says where, and the controller takes both ends.

The need is told in mode External too."""

from dataclasses import replace

import pytest
from hypothesis import given

from taskfleet.core.conditions import Status
from taskfleet.core.plan import plan
from taskfleet.core.pool import AutoscalersObserved, AutoscalingMode, Observed, PoolPolicy, QueueObserved, StopPolicy
from taskfleet.core.scaling import ScaleMemory
from tests.core.given import NOW, condition, endpoint, has, only, pool, seen, waiting, workers_of
from tests.core.test_plan_properties import carried_out, followed_queues, worlds

HPA = AutoscalingMode.HPA
IDLE_FOR_LONG = ScaleMemory(idle_since=NOW - 120)
IDLE_FOR_SHORT = ScaleMemory(idle_since=NOW - 119)
UNSEEN = QueueObserved(backlog=None, unseen_reason="StoreUnreachable", unseen="the store does not answer")


def test_the_need_is_told_to_the_hpa_and_its_number_is_what_counts() -> None:
    decided = plan(pool(mode=HPA, replicas=2), seen(waiting(small=20), llm=has(2)), NOW)
    assert (decided.needed, decided.replicas, only(decided).workers) == (5, 2, 2)
    assert only(decided).reason == "AwaitsHPA"
    assert only(decided).message.endswith("need 5 workers; spec.replicas is 2, until the HPA raises it")
    assert condition(decided, "ScalingLimited").status is Status.FALSE


def test_more_workers_than_needed_stay_until_the_hpa_asks_for_fewer() -> None:
    decided = plan(pool(mode=HPA, replicas=4), seen(waiting(small=4), llm=has(4)), NOW)
    assert (decided.needed, only(decided).workers, only(decided).reason) == (1, 4, "KeptByHPA")
    assert only(decided).message.endswith("need 1 worker; spec.replicas is 4, until the HPA lowers it")


def test_the_load_says_at_which_endpoints_the_workers_of_the_hpa_are() -> None:
    two = pool(endpoint("a", models="x"), endpoint("b", models="y"), mode=HPA, replicas=4)
    decided = plan(two, seen(waiting(x=12, y=0), a=has(2), b=has(2)), NOW)
    assert workers_of(decided) == {"a": 3, "b": 1}


def test_no_number_of_an_hpa_exceeds_the_pools_maximum_and_a_need_beyond_it_is_told() -> None:
    decided = plan(pool(mode=HPA, max_workers=3, replicas=9), seen(waiting(small=40), llm=has(3)), NOW)
    assert (decided.needed, only(decided).workers) == (10, 3)
    assert condition(decided, "ScalingLimited").reason == "PoolMaxWorkers"


def test_at_zero_the_controller_wakes_the_pool_with_one_worker_or_its_minimum() -> None:
    woken = plan(pool(mode=HPA, replicas=0), seen(waiting(small=40), llm=has(0)), NOW)
    assert (woken.replicas, only(woken).workers) == (1, 1)
    with_minimum = plan(pool(mode=HPA, min_workers=3, replicas=0), seen(waiting(), llm=has(0)), NOW)
    assert (with_minimum.replicas, only(with_minimum).workers) == (3, 3)
    at_rest = plan(pool(mode=HPA, replicas=0), seen(waiting(), llm=has(0)), NOW)
    assert (at_rest.replicas, only(at_rest).workers) == (0, 0)


@pytest.mark.parametrize(("memory", "left"), [(IDLE_FOR_LONG, 0), (IDLE_FOR_SHORT, 2)])
def test_the_last_workers_go_after_scale_to_zero_delay_and_no_hpa_is_needed_for_it(
    memory: ScaleMemory, left: int
) -> None:
    decided = plan(pool(mode=HPA, replicas=2), seen(waiting(), {"llm": memory}, llm=has(2)), NOW)
    assert (decided.replicas, only(decided).workers) == (left, left)
    assert decided.look_again_at == (None if left == 0 else NOW + 1)


def test_one_endpoint_with_load_keeps_the_pool_awake() -> None:
    two = pool(endpoint("a", models="x"), endpoint("b", models="y"), mode=HPA, replicas=2)
    memory = {"a": IDLE_FOR_LONG, "b": ScaleMemory()}
    assert plan(two, seen(waiting(), memory, a=has(1), b=has(1, inflight=1)), NOW).replicas == 2


def test_a_minimum_keeps_the_last_workers() -> None:
    decided = plan(pool(mode=HPA, min_workers=1, replicas=1), seen(waiting(), {"llm": IDLE_FOR_LONG}, llm=has(1)), NOW)
    assert decided.replicas == 1


def test_whoever_is_there_when_a_mode_begins_stays() -> None:
    for mode in (HPA, AutoscalingMode.EXTERNAL):
        decided = plan(pool(mode=mode), seen(waiting(small=4), llm=has(3, inflight=2)), NOW)
        assert (decided.replicas, only(decided).workers) == (3, 3)
    assert plan(pool(replicas=3), seen(waiting(small=4), llm=has(3)), NOW).replicas is None


def test_in_mode_external_the_need_is_told_to_whoever_decides_and_nobody_else_acts_on_it() -> None:
    decided = plan(pool(mode=AutoscalingMode.EXTERNAL, replicas=2), seen(waiting(small=20), llm=has(2)), NOW)
    assert (decided.needed, decided.replicas, only(decided).workers) == (5, 2, 2)
    before_any_number = plan(pool(mode=AutoscalingMode.EXTERNAL), seen(waiting(small=20), llm=has(3)), NOW)
    assert (before_any_number.needed, before_any_number.replicas) == (5, 3)
    at_rest = plan(pool(mode=AutoscalingMode.EXTERNAL, replicas=2), seen(waiting(), llm=has(2)), NOW)
    assert (at_rest.needed, only(at_rest).workers) == (0, 2)


@pytest.mark.parametrize("mode", [HPA, AutoscalingMode.EXTERNAL])
@pytest.mark.parametrize(
    "queue",
    [UNSEEN, QueueObserved(exists=False), QueueObserved(stop=StopPolicy.HOLD), QueueObserved(pause="paused for long")],
)
def test_what_cannot_be_said_is_not_told_to_the_hpa_and_changes_nothing(
    queue: QueueObserved, mode: AutoscalingMode
) -> None:
    decided = plan(pool(mode=mode, replicas=3), seen(queue, llm=has(3)), NOW)
    assert (decided.needed, decided.replicas, only(decided).workers) == (None, 3, 3)


@pytest.mark.parametrize(
    ("queue", "words"),
    [
        (UNSEEN, "; how many workers are needed is not told: cannot see the queue: the store does not answer"),
        (
            QueueObserved(pause="paused for long"),
            "; how many workers are needed is not told: the queue is paused for long",
        ),
        (waiting(small=4), ""),
    ],
)
def test_whoever_decides_outside_is_told_why_there_is_no_need_to_go_by(queue: QueueObserved, words: str) -> None:
    decided = plan(pool(mode=AutoscalingMode.EXTERNAL, replicas=3), seen(queue, llm=has(3)), NOW)
    assert condition(decided, "ScalingActive").message == (
        f"autoscaling.mode is External: spec.replicas decides{words}"
    )


def test_a_drain_empties_the_pool_and_leaves_the_hpas_number_alone() -> None:
    decided = plan(pool(mode=HPA, replicas=3), seen(QueueObserved(stop=StopPolicy.HOLD_AND_DRAIN), llm=has(3)), NOW)
    assert (decided.replicas, only(decided).workers) == (3, 0)


def test_an_hpa_in_trouble_and_a_second_autoscaler_are_told_in_conditions() -> None:
    others = AutoscalersObserved("the HPA says: no metrics", "the HPA theirs scales it too")
    observed = replace(seen(waiting(small=4), llm=has(1)), autoscalers=others)
    decided = plan(pool(mode=HPA, replicas=1), observed, NOW)
    active, disputed = condition(decided, "ScalingActive"), condition(decided, "ScalingDisputed")
    assert (active.status, active.reason, active.message) == (Status.FALSE, "HPANotScaling", others.trouble)
    assert (disputed.status, disputed.reason, disputed.message) == (Status.TRUE, "SecondWriter", others.second)


@pytest.mark.parametrize("mode", AutoscalingMode)
def test_in_every_mode_the_conditions_say_who_writes(mode: AutoscalingMode) -> None:
    decided = plan(pool(mode=mode, replicas=1), seen(waiting(small=1), llm=has(1)), NOW)
    assert condition(decided, "ScalingDisputed").status is Status.FALSE
    assert condition(decided, "ScalingDisputed").message


@given(worlds(followed_queues()))
def test_a_decision_that_is_carried_out_stands(world: tuple[PoolPolicy, Observed]) -> None:
    policy, observed = replace(world[0], mode=HPA), world[1]
    first = plan(policy, observed, NOW)
    again = plan(replace(policy, replicas=first.replicas), carried_out(observed, first), NOW)
    assert (again.replicas, again.workers) == (first.replicas, first.workers)
