"""What planning sees of the workers: exact numbers from the store, their places from the workers, in doubt busy."""

from dataclasses import replace

import pytest

from taskfleet.controller.fleet import FleetState
from taskfleet.controller.observe import Sight, observe_endpoints, remember_pace
from taskfleet.controller.world import PoolState
from taskfleet.core.settlement import QueueStats, WorkerReport
from tests.controller.control import worker_pool

POOL = worker_pool("demo", "http://127.0.0.1/v1", endpoints={"a": {}, "b": {}})


def running(number: int) -> QueueStats:
    return QueueStats(0, 0, number, 0, 0, 0, 0, {}, {}, None, None, 0.0)


def report(endpoint: str, inflight: int, *, pool: str = "pool", seconds: float | None = None) -> WorkerReport:
    return WorkerReport(f"{pool}-{endpoint}-{inflight}", pool, endpoint, 4, inflight, seconds_per_task=seconds)


@pytest.mark.parametrize(
    ("in_all", "reports", "a", "b"),
    [
        (7, [report("a", 4), report("b", 3)], 4, 3),
        (0, [report("a", 4)], 0, 0),
        (3, [report("a", 4)], 3, 0),
        (5, [], 3, 3),
        (6, [report("a", 4)], 5, 1),
        (4, [report("a", 4, pool="another pool")], 0, 0),
    ],
    ids=["told", "told before the end", "told too many", "not told at all", "told in part", "told by others"],
)
def test_running_tasks_are_where_workers_say_and_the_rest_everywhere(
    in_all: int, reports: list[WorkerReport], a: int, b: int
) -> None:
    state = PoolState(POOL, asked={"a": 1, "b": 1})
    seen = observe_endpoints(POOL, state, Sight(running(in_all), reports), {})
    assert (seen["a"].inflight, seen["b"].inflight) == (a, b)


def test_an_endpoint_without_workers_runs_nothing() -> None:
    seen = observe_endpoints(POOL, PoolState(POOL, asked={"a": 1, "b": 0}), Sight(running(5)), {})
    assert (seen["a"].inflight, seen["b"].inflight) == (5, 0)


def test_what_was_asked_for_counts_and_before_that_what_is_there() -> None:
    state = PoolState(POOL, asked={"a": 2}, fleet={"a": FleetState(9, 1), "b": FleetState(3, 3, "stuck")})
    seen = observe_endpoints(POOL, state, Sight(running(0)), {})
    assert (seen["a"].workers, seen["a"].ready, seen["b"].workers, seen["b"].stuck) == (2, 1, 3, "stuck")


def test_the_pace_of_an_endpoint_outlives_its_workers() -> None:
    state = PoolState(POOL)
    remember_pace(POOL, state, Sight(running(2), [report("a", 1, seconds=2.0), report("a", 2, seconds=4.0)]))
    remember_pace(POOL, state, Sight(running(0), [report("a", 0)]))
    assert observe_endpoints(POOL, state, Sight(running(0)), {})["a"].seconds_per_task == 3.0


def test_workers_complain_of_an_endpoint_only_when_none_of_them_gets_on() -> None:
    def complaint(*reports: WorkerReport) -> str:
        return observe_endpoints(POOL, PoolState(POOL, asked={"a": 2}), Sight(running(0), reports), {})["a"].complaint

    refused, fine = replace(report("a", 0), trouble="401"), report("a", 1)
    leaving = replace(fine, draining=True)
    assert complaint(refused, fine) == ""
    assert complaint(refused, leaving) == "401"
    assert complaint(leaving) == complaint() == ""
