"""How many workers a queue gets, endpoint by endpoint, and what is said about it."""

from taskfleet.core.conditions import Status
from taskfleet.core.plan import plan
from taskfleet.core.pool import AutoscalingMode
from taskfleet.core.scaling import Patience, ScalingTarget
from tests.core.given import NOW, condition, endpoint, has, only, pool, seen, waiting, workers_of


def test_the_first_task_wakes_one_worker_at_once() -> None:
    decided = plan(pool(), seen(waiting(small=1), llm=has(0)), NOW)
    assert only(decided).workers == 1
    assert only(decided).reason == "Backlog"
    assert only(decided).message == "1 waiting and 0 running tasks (4 at a time in a worker) need 1 worker"


def test_running_tasks_count_like_waiting_ones() -> None:
    decided = plan(pool(), seen(waiting(small=4), llm=has(1, inflight=4, seconds_per_task=8.42)), NOW)
    assert only(decided).workers == 2
    assert only(decided).message == "4 waiting and 4 running tasks (8.4s each, 4 at a time in a worker) need 2 workers"


def test_a_drain_time_gives_the_workers_that_finish_in_that_time() -> None:
    in_a_minute = pool(target=ScalingTarget(drain_seconds=60))
    decided = plan(in_a_minute, seen(waiting(small=240), llm=has(0, seconds_per_task=2)), NOW)
    assert only(decided).workers == 2  # 240 tasks of 2 s, 4 at a time, are 120 s of one worker


def test_no_more_workers_than_can_be_busy_however_slow_the_tasks_are() -> None:
    in_a_minute = pool(target=ScalingTarget(drain_seconds=1))
    decided = plan(in_a_minute, seen(waiting(small=5), llm=has(0, seconds_per_task=600)), NOW)
    assert only(decided).workers == 2


def test_an_endpoint_at_its_maximum_says_so() -> None:
    decided = plan(pool(endpoint(max_workers=3)), seen(waiting(small=100), llm=has(3)), NOW)
    assert only(decided).workers == 3
    assert only(decided).reason == "EndpointMaxWorkers"
    limited = condition(decided, "ScalingLimited")
    assert (limited.status, limited.reason) == (Status.TRUE, "EndpointMaxWorkers")
    assert limited.message == (
        "llm: 100 waiting and 0 running tasks would use 25 workers; maxWorkers of the endpoint is 3"
    )
    assert condition(decided, "Ready").reason == "EndpointMaxWorkers"


def test_a_pool_at_its_maximum_says_so() -> None:
    decided = plan(pool(max_workers=3), seen(waiting(small=100), llm=has(3)), NOW)
    assert only(decided).workers == 3
    assert only(decided).reason == "PoolMaxWorkers"
    assert only(decided).message.endswith("; maxWorkers of the pool is 3")
    limited = condition(decided, "ScalingLimited")
    assert limited.message == "10 workers could be used; maxWorkers of the pool is 3"
    assert condition(decided, "Ready").reason == "PoolMaxWorkers"


def test_a_lane_goes_to_the_endpoints_that_serve_it() -> None:
    two = pool(endpoint("chat", models="small large"), endpoint("code", models="coder"))
    decided = plan(two, seen(waiting(coder=8, large=4), chat=has(0), code=has(0)), NOW)
    assert workers_of(decided) == {"chat": 1, "code": 2}


def test_a_lane_that_nobody_here_serves_wakes_nobody() -> None:
    decided = plan(pool(), seen(waiting(unheard_of=50), llm=has(0)), NOW)
    assert only(decided).workers == 0
    assert (only(decided).reason, only(decided).message) == ("Idle", "no task waits or runs for its models")


def test_one_task_wakes_one_worker_and_not_one_of_every_endpoint() -> None:
    three = pool(endpoint("a"), endpoint("b"), endpoint("c"))
    assert workers_of(plan(three, seen(waiting(small=1)), NOW)) == {"a": 1, "b": 0, "c": 0}


def test_many_tasks_are_shared_by_what_each_endpoint_can_run_at_once() -> None:
    unequal = pool(endpoint("big", max_workers=9), endpoint("small", max_workers=3))
    assert workers_of(plan(unequal, seen(waiting(small=48)), NOW)) == {"big": 9, "small": 3}


def test_the_maximum_of_a_pool_is_shared_fairly_and_starves_no_model() -> None:
    three = pool(endpoint("a", models="x"), endpoint("b", models="y"), endpoint("c", models="z"), max_workers=5)
    decided = plan(three, seen(waiting(x=40, y=40, z=1)), NOW)
    assert workers_of(decided) == {"a": 2, "b": 2, "c": 1}


def test_under_the_maximum_workers_that_run_tasks_come_before_new_ones() -> None:
    two = pool(endpoint("busy", models="x"), endpoint("new", models="y"), max_workers=6)
    decided = plan(two, seen(waiting(x=40, y=40), busy=has(5, inflight=20), new=has(0)), NOW)
    assert workers_of(decided) == {"busy": 5, "new": 1}


def test_idle_workers_of_one_endpoint_make_room_for_the_tasks_of_another_at_the_maximum() -> None:
    two = pool(endpoint("before", models="x"), endpoint("now", models="y"), max_workers=4)
    decided = plan(two, seen(waiting(y=40), before=has(4), now=has(0)), NOW)
    assert workers_of(decided) == {"before": 1, "now": 3}


def test_a_minimum_is_kept_without_tasks_on_a_healthy_endpoint() -> None:
    two = pool(endpoint("sick"), endpoint("well"), min_workers=2)
    decided = plan(two, seen(waiting(), sick=has(0, healthy=False, trouble="refused"), well=has(0)), NOW)
    assert workers_of(decided) == {"sick": 0, "well": 2}
    assert decided.endpoints[1].reason == "PoolMinWorkers"
    assert decided.endpoints[1].message == "no task waits or runs for its models; minWorkers of the pool is 2"


def test_a_minimum_keeps_the_workers_that_are_there_rather_than_start_others() -> None:
    two = pool(endpoint("first"), endpoint("second"), min_workers=1, patience=Patience(0, 0))
    decided = plan(two, seen(waiting(), first=has(0), second=has(1)), NOW)
    assert workers_of(decided) == {"first": 0, "second": 1}


def test_external_workers_are_dealt_out_in_turn_up_to_each_maximum() -> None:
    three = pool(endpoint("a", max_workers=1), endpoint("b"), endpoint("c"), mode=AutoscalingMode.EXTERNAL, replicas=6)
    decided = plan(three, seen(waiting(small=1)), NOW)
    assert workers_of(decided) == {"a": 1, "b": 3, "c": 2}
    assert decided.endpoints[1].message == "autoscaling.mode is External and spec.replicas is 6"
    assert condition(decided, "ScalingActive").reason == "External"


def test_external_workers_go_at_once_when_the_number_is_lowered() -> None:
    decided = plan(
        pool(mode=AutoscalingMode.EXTERNAL, replicas=1), seen(waiting(small=40), llm=has(9, inflight=36)), NOW
    )
    assert only(decided).workers == 1


def test_at_the_maximum_tasks_come_before_workers_that_are_only_kept_for_a_while() -> None:
    two = pool(endpoint("before", models="x"), endpoint("now", models="y"), max_workers=1)
    decided = plan(two, seen(waiting(y=1), before=has(1), now=has(0)), NOW)
    assert workers_of(decided) == {"before": 0, "now": 1}


def test_more_replicas_from_outside_than_the_endpoints_may_have_are_told_as_limited() -> None:
    decided = plan(
        pool(endpoint("a", max_workers=2), mode=AutoscalingMode.EXTERNAL, replicas=9),
        seen(waiting(small=1), a=has(0)),
        NOW,
    )
    assert only(decided).workers == 2
    assert (
        only(decided).message == "autoscaling.mode is External and spec.replicas is 9; maxWorkers of the endpoint is 2"
    )
    assert condition(decided, "ScalingLimited").status == "True"


def test_an_endpoint_whose_tasks_go_to_others_does_not_say_that_none_wait() -> None:
    sick = has(0, healthy=False, trouble="refused")
    decided = plan(pool(endpoint("a"), endpoint("b")), seen(waiting(small=8), a=has(0), b=sick), NOW)
    assert decided.endpoints[1].message == "other endpoints take what waits for its models"


def test_no_worker_is_started_that_would_be_ready_when_the_backlog_is_gone() -> None:
    """40 tasks of 2 s, 4 at a time in the one worker that is ready, are gone in 20 s; another one takes a minute."""
    slow = has(1, seconds_per_task=2, cold_start=60)
    decided = plan(pool(), seen(waiting(small=40), llm=slow), NOW)
    assert (only(decided).workers, only(decided).reason) == (1, "ColdStart")
    assert only(decided).message.endswith(
        "another one would be ready after 1m, when those that are ready have done them"
    )
    assert condition(decided, "Ready").reason == "ColdStart"
    quick = has(1, seconds_per_task=2, cold_start=15)
    assert only(plan(pool(), seen(waiting(small=40), llm=quick), NOW)).workers == 10


def test_a_cold_start_holds_back_no_first_worker_and_takes_none_away() -> None:
    nobody = has(0, seconds_per_task=2, cold_start=600)
    assert only(plan(pool(), seen(waiting(small=8), llm=nobody), NOW)).workers == 2
    on_their_way = has(3, ready=1, seconds_per_task=2, cold_start=600)
    assert only(plan(pool(), seen(waiting(small=40), llm=on_their_way), NOW)).workers == 3


def test_a_cold_start_counts_no_worker_that_is_not_ready_yet() -> None:
    starting = has(1, ready=0, seconds_per_task=2, cold_start=600)
    assert only(plan(pool(), seen(waiting(small=40), llm=starting), NOW)).workers == 10
