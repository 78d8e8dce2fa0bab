"""A pool that does not scale says why, in a word and in a sentence."""

from dataclasses import replace
from typing import Any

import pytest

from taskfleet.core.conditions import Status
from taskfleet.core.plan import plan
from taskfleet.core.pool import AutoscalingMode, Execution, QueueObserved, StopPolicy
from taskfleet.core.scaling import Patience, ScaleMemory
from tests.core.given import NOW, condition, endpoint, has, only, pool, seen, waiting, workers_of

UNSEEN = QueueObserved(backlog=None, unseen_reason="StoreUnreachable", unseen="the store at db:6379 does not answer")
MISSING = QueueObserved(exists=False)
HELD = QueueObserved(backlog={"small": 40}, stop=StopPolicy.HOLD)
PAUSED = QueueObserved(backlog={"small": 40}, pause="paused until 2030-01-31T18:00:00Z")
EXTERNAL = QueueObserved(backlog={"small": 40}, execution=Execution.EXTERNAL)
IMPATIENT = Patience(0, 0)


def draining(**lanes: int) -> QueueObserved:
    return QueueObserved(backlog=lanes, stop=StopPolicy.HOLD_AND_DRAIN)


@pytest.mark.parametrize("queue", [UNSEEN, HELD, PAUSED], ids=["store unreachable", "on hold", "paused"])
@pytest.mark.parametrize("there", [0, 3])
def test_nothing_changes_while_the_queue_cannot_be_seen_or_is_on_hold(queue: QueueObserved, there: int) -> None:
    decided = plan(pool(patience=IMPATIENT), seen(queue, llm=has(there)), NOW)
    assert only(decided).workers == there
    assert decided.look_again_at is None


def test_an_unreachable_store_is_told_in_its_own_words() -> None:
    decided = plan(pool(), seen(UNSEEN, llm=has(3)), NOW)
    ready, active = condition(decided, "Ready"), condition(decided, "ScalingActive")
    assert (ready.status, ready.reason) == (Status.FALSE, "StoreUnreachable")
    assert ready.message == "cannot see the queue: the store at db:6379 does not answer"
    assert active.message == f"{ready.message}; the workers stay as they are"


def test_time_spent_blind_does_not_count_as_idle() -> None:
    idle_long_ago = {"llm": ScaleMemory(lower_since=NOW - 500, idle_since=NOW - 500)}
    blind = plan(pool(), seen(UNSEEN, idle_long_ago, llm=has(3)), NOW)
    back = plan(pool(), seen(waiting(), blind.memory, llm=has(3)), NOW + 1)
    assert only(back).workers == 3


def test_limits_that_people_set_hold_also_while_nothing_can_be_seen() -> None:
    assert only(plan(pool(max_workers=2), seen(UNSEEN, llm=has(5)), NOW)).workers == 2
    assert only(plan(pool(min_workers=2), seen(UNSEEN, llm=has(0)), NOW)).workers == 2


def test_external_workers_do_not_need_the_store() -> None:
    assert only(plan(pool(mode=AutoscalingMode.EXTERNAL, replicas=4), seen(UNSEEN, llm=has(1)), NOW)).workers == 4


def test_a_queue_on_hold_is_told() -> None:
    decided = plan(pool(), seen(HELD, llm=has(2, inflight=3)), NOW)
    assert only(decided).message == "the queue's stopPolicy is Hold: no task is started; the workers stay as they are"
    assert condition(decided, "Ready").reason == "QueueOnHold"
    assert condition(decided, "ScalingActive").status is Status.FALSE


def test_a_paused_queue_is_told_with_the_end_of_its_pause() -> None:
    decided = plan(pool(), seen(PAUSED, llm=has(2, inflight=3)), NOW)
    why = "the queue is paused until 2030-01-31T18:00:00Z"
    assert only(decided).message == f"{why}: no task is started; the workers stay as they are"
    assert condition(decided, "ScalingActive").message == why


@pytest.mark.parametrize(
    "settings", [{}, {"min_workers": 2}, {"mode": AutoscalingMode.EXTERNAL, "replicas": 3}], ids=str
)
@pytest.mark.parametrize("queue", [EXTERNAL, replace(UNSEEN, execution=Execution.EXTERNAL)], ids=["seen", "unseen"])
def test_a_queue_of_external_execution_has_no_workers_whatever_waits(
    settings: dict[str, Any], queue: QueueObserved
) -> None:
    decided = plan(pool(**settings), seen(queue, llm=has(2, inflight=3)), NOW)
    assert only(decided).workers == 0
    for kind in ("Ready", "ScalingActive"):
        told = condition(decided, kind)
        assert (told.status, told.reason) == (Status.FALSE, "QueueIsExternal")
        assert "its tasks are claimed with `taskfleet run`, and no worker serves them" in told.message


def test_a_missing_queue_starts_no_workers_whatever_the_minimum() -> None:
    decided = plan(pool(min_workers=2), seen(MISSING, llm=has(0)), NOW)
    assert only(decided).workers == 0
    assert condition(decided, "Ready").reason == "QueueNotFound"
    assert condition(decided, "Ready").message == "the TaskQueue of spec.queueRef does not exist in this namespace"


def test_a_missing_queue_takes_workers_away_only_when_it_stays_missing() -> None:
    """A controller that has just started may see the pool before the queue."""
    at_once = plan(pool(patience=IMPATIENT), seen(MISSING, llm=has(3)), NOW)
    assert only(at_once).workers == 3
    assert at_once.look_again_at == NOW + 30
    later = plan(pool(patience=IMPATIENT), seen(MISSING, at_once.memory, llm=has(3)), NOW + 30)
    assert only(later).workers == 0


def test_an_unhealthy_endpoint_gets_no_more_workers_and_loses_none_while_tasks_wait() -> None:
    sick = has(2, inflight=1, healthy=False, trouble="connection refused")
    decided = plan(pool(), seen(waiting(small=100), llm=sick), NOW)
    assert only(decided).workers == 2
    assert only(decided).reason == "EndpointUnhealthy"
    assert (
        only(decided).message == "100 waiting and 1 running tasks, but the endpoint is not healthy: connection refused"
    )
    assert condition(decided, "Ready").reason == "EndpointUnhealthy"
    assert condition(decided, "EndpointsHealthy").message == "llm: connection refused"


def test_tasks_go_round_an_unhealthy_endpoint() -> None:
    two = pool(endpoint("sick"), endpoint("well"))
    decided = plan(two, seen(waiting(small=8), sick=has(0, healthy=False, trouble="refused"), well=has(0)), NOW)
    assert workers_of(decided) == {"sick": 0, "well": 2}
    assert condition(decided, "Ready").reason == "WorkersStarting"


def test_an_endpoint_not_probed_yet_is_used() -> None:
    decided = plan(pool(), seen(waiting(small=1), llm=has(0, healthy=None)), NOW)
    assert only(decided).workers == 1
    assert condition(decided, "EndpointsHealthy").status is Status.UNKNOWN


def test_hold_and_drain_keeps_workers_until_the_last_task_has_ended_and_then_none() -> None:
    some_run = plan(pool(min_workers=1), seen(draining(small=9), llm=has(3, inflight=1)), NOW)
    assert only(some_run).workers == 3
    assert only(some_run).message == "the queue's stopPolicy is HoldAndDrain and 1 task still running"
    none_run = plan(pool(min_workers=1), seen(draining(small=9), llm=has(3)), NOW)
    assert only(none_run).workers == 0
    assert (only(none_run).reason, condition(none_run, "Ready").reason) == ("Drained", "Drained")


def test_hold_and_drain_goes_before_a_number_from_outside() -> None:
    assert (
        only(plan(pool(mode=AutoscalingMode.EXTERNAL, replicas=5), seen(draining(small=9), llm=has(5)), NOW)).workers
        == 0
    )


def test_workers_that_do_not_come_up_are_told() -> None:
    stuck = has(1, ready=0, stuck="the image cannot be pulled")
    decided = plan(pool(), seen(waiting(small=1), llm=stuck), NOW)
    assert condition(decided, "Ready").reason == "WorkersNotStarting"
    assert condition(decided, "Ready").message == "llm: the image cannot be pulled"


def test_workers_that_are_on_their_way_are_told() -> None:
    decided = plan(pool(), seen(waiting(small=8), llm=has(0)), NOW)
    assert condition(decided, "Ready").reason == "WorkersStarting"
    assert condition(decided, "Ready").message == "2 workers asked for, none ready yet"


def test_an_idle_pool_is_ready() -> None:
    ready = condition(plan(pool(), seen(waiting(), llm=has(0)), NOW), "Ready")
    assert (ready.status, ready.reason, ready.message) == (
        Status.TRUE,
        "Idle",
        "llm: no task waits or runs for its models",
    )


def test_of_many_endpoints_only_a_few_are_told() -> None:
    many = pool(*(endpoint(f"e{number}") for number in range(9)))
    message = condition(plan(many, seen(waiting()), NOW), "Ready").message
    assert message.startswith("e0: ") and message.endswith("; and 6 more")


def test_a_drain_that_cannot_be_seen_takes_no_worker_whoever_decides_their_number() -> None:
    blind = QueueObserved(True, StopPolicy.HOLD_AND_DRAIN, None, "StoreUnreachable", "gone")
    assert only(plan(pool(mode=AutoscalingMode.EXTERNAL, replicas=5), seen(blind, llm=has(2)), NOW)).workers == 2


def test_external_workers_stay_until_someone_writes_their_number() -> None:
    decided = plan(pool(mode=AutoscalingMode.EXTERNAL), seen(waiting(small=40), llm=has(3)), NOW)
    assert (only(decided).workers, only(decided).reason) == (3, "External")
    assert only(decided).message == (
        "autoscaling.mode is External and spec.replicas is not set; set it, by kubectl scale or an autoscaler; "
        "the workers stay as they are"
    )
    assert condition(decided, "Ready").reason == "External"


def test_workers_that_cannot_work_with_a_healthy_endpoint_are_quoted() -> None:
    refused = has(2, complaint="the endpoint refuses the API key (401)")
    decided = plan(pool(endpoint("a"), endpoint("b")), seen(waiting(small=8), a=refused, b=has(0)), NOW)
    healthy = condition(decided, "EndpointsHealthy")
    assert (healthy.status, healthy.reason) == (Status.FALSE, "WorkersInTrouble")
    assert healthy.message == "a: its workers say: the endpoint refuses the API key (401)"


def test_a_pool_is_ready_as_long_as_the_workers_of_one_endpoint_can_work() -> None:
    refused = has(1, complaint="the endpoint refuses the API key (401)")
    two = pool(endpoint("a", models="x"), endpoint("b", models="y"))
    none_works = plan(two, seen(waiting(x=4), a=refused, b=has(0)), NOW)
    one_works = plan(two, seen(waiting(x=4, y=4), a=refused, b=has(1)), NOW)
    assert condition(none_works, "Ready").reason == "WorkersInTrouble"
    assert condition(one_works, "Ready").reason == "Backlog"


@pytest.mark.parametrize("settings", [{}, {"min_workers": 2}, {"mode": AutoscalingMode.EXTERNAL, "replicas": 3}])
def test_a_pool_without_endpoints_says_so(settings: dict[str, Any]) -> None:
    decided = plan(pool(endpoints=(), **settings), seen(waiting(small=3)), NOW)
    assert decided.workers == 0
    for kind in ("Ready", "EndpointsHealthy"):
        assert (condition(decided, kind).status, condition(decided, kind).reason) == (Status.FALSE, "NoEndpoints")
