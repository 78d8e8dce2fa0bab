"""The course of a run, from what ``taskfleet up -o json`` says."""

from typing import Any

import pytest

from demo.timeline import course, moment, rate_over_time, submit_time


def line(time: float, *, enqueued: int = 5, oldest: float | None = None, workers: int = 1) -> dict[str, Any]:
    queue = {"pending": 3, "running": 1, "completed": 1, "failed": 0, "oldest_seconds": oldest}
    snapshot = {"queues": [queue], "endpoints": [{"workers": workers}, {"workers": 2}], "enqueued": enqueued}
    return {"time": time, "snapshot": snapshot}


def test_a_moment_counts_from_the_submit_and_adds_up_all_endpoints() -> None:
    seen = moment(line(12.5, workers=1), submitted_at=10.0)
    assert (seen.seconds, seen.waiting, seen.running, seen.finished, seen.workers) == (2.5, 3, 1, 1, 3)


def test_the_submit_is_as_long_ago_as_the_oldest_task_waits() -> None:
    assert submit_time(line(100.0, oldest=0.4)) == pytest.approx(99.6)
    assert submit_time(line(100.0, oldest=None)) == 100.0
    assert submit_time(line(100.0, enqueued=0)) is None


@pytest.mark.parametrize(
    ("workers", "turns"),
    [
        ([0, 0, 4, 4, 0], [0, 4, 0]),
        ([0, 2, 4, 3, 1, 0, 0], [0, 4, 0]),
        ([0, 4, 2, 3, 0], [0, 4, 2, 3, 0]),
        ([0], [0]),
    ],
)
def test_the_course_of_a_series_is_its_turning_points(workers: list[int], turns: list[int]) -> None:
    assert course(workers) == turns


def test_the_rate_of_even_work_is_even_up_to_both_ends() -> None:
    finished = [0.1 * number for number in range(1, 101)]
    rates = [rate for _, rate in rate_over_time(finished, end=10.0, width=2.0)]
    assert min(rates) == pytest.approx(10, abs=1.1)
    assert max(rates) == pytest.approx(10, abs=1.1)


def test_the_rate_is_zero_while_nothing_finishes() -> None:
    rates = dict(rate_over_time([1.0, 9.0], end=10.0, width=2.0))
    assert rates[5.0] == 0
    assert rates[1.0] == 0.5
