"""Suspects and pace: what a worker remembers to tell a poison prompt from an outage, and how fast it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.worker.pace import Pace
from taskfleet.worker.suspects import REMEMBERED, Suspects


def test_the_first_trouble_is_never_the_task_s_own() -> None:
    suspects = Suspects()
    suspects.completed("other")
    assert suspects.met_trouble("a") is False


def test_trouble_again_after_others_completed_is_the_task_s_own() -> None:
    suspects = Suspects()
    suspects.met_trouble("poison")
    suspects.completed("other")
    assert suspects.met_trouble("poison") is True


def test_trouble_again_with_no_success_between_is_an_outage() -> None:
    suspects = Suspects()
    suspects.met_trouble("a")
    suspects.completed("other")
    assert suspects.met_trouble("a") is True
    assert suspects.met_trouble("a") is False  # a second outage burns one attempt at most


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), max_size=20))
def test_one_outage_however_long_is_nobody_s_own_trouble(failures: list[tuple[str, int]]) -> None:
    suspects = Suspects()
    suspects.completed("before")
    assert not any(suspects.met_trouble(task) for task, times in failures for _ in range(times))


def test_memory_is_bounded_and_forgets_the_oldest() -> None:
    suspects = Suspects()
    for number in range(REMEMBERED + 1):
        suspects.met_trouble(str(number))
    suspects.completed("other")
    assert suspects.met_trouble("0") is False
    assert suspects.met_trouble(str(REMEMBERED)) is True


def test_a_task_that_ended_is_forgotten() -> None:
    suspects = Suspects()
    suspects.met_trouble("a")
    suspects.forget("a")
    suspects.completed("other")
    assert suspects.met_trouble("a") is False


def test_pace_is_unknown_before_the_first_task() -> None:
    pace = Pace(0.0)
    assert pace.seconds_per_task is None
    assert pace.tasks_per_minute(10.0) == 0.0


def test_seconds_per_task_follows_what_was_measured() -> None:
    pace = Pace(0.0)
    pace.finished(1.0, 2.0)
    assert pace.seconds_per_task == 2.0
    for second in range(2, 40):
        pace.finished(float(second), 10.0)
    assert pace.seconds_per_task == pytest.approx(10.0, rel=0.01)


def test_tasks_per_minute_counts_the_last_minute_only() -> None:
    pace = Pace(0.0)
    for second in range(30):
        pace.finished(second + 0.5, 0.1)
        pace.finished(second + 0.6, 0.1)
    assert pace.tasks_per_minute(30.0) == pytest.approx(120.0)
    assert pace.tasks_per_minute(60.0) == pytest.approx(60.0)
    assert pace.tasks_per_minute(200.0) == 0.0
