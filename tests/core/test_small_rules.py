"""Quantities, backoff, models and ids: the small rules that manifests and task lines rely on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.core.quantities import format_duration, parse_duration, parse_size
from taskfleet.core.retry import RetryPolicy, backoff_seconds, may_retry
from taskfleet.core.task import Priority, QueueKey, TaskState, is_task_id, new_task_id


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1m30s", 90), ("250ms", 0.25), ("1.5h", 5400), ("1h1m1s1ms", 3661.001)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1 s", "1d", "1s\n", "１s", "1s1", "1.s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write a number with a unit, such as 30s"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "size"), [(512, 512), ("512", 512), ("1Ki", 1024), ("1Mi", 1048576)])
def test_a_size_is_read(text: int | str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1Gi", "-1", "1.5Mi", "1 Mi", "1Mi\n", "１"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size; write bytes or a number with Ki or Mi"):
        parse_size(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (0.12, "120ms"),
        (0.9999, "1s"),
        (8.42, "8.4s"),
        (9.97, "10s"),
        (60, "1m"),
        (65, "1m5s"),
        (3599.7, "1h"),
        (11520, "3h12m"),
        (90000, "1d1h"),
    ],
)
def test_a_duration_is_shown_to_people_in_two_units_at_most(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(
    policy=st.builds(
        RetryPolicy,
        max_attempts=st.integers(1, 100),
        initial_delay=st.floats(0, 100),
        max_delay=st.floats(0, 10_000),
        multiplier=st.floats(1, 10),
        jitter=st.floats(0, 1),
    ),
    attempt=st.integers(1, 100),
    random=st.floats(0, 1, exclude_max=True),
)
def test_a_retry_waits_between_nothing_and_the_longest_delay(policy: RetryPolicy, attempt: int, random: float) -> None:
    assert 0 <= backoff_seconds(policy, attempt, random) <= policy.max_delay


def test_delays_double_and_jitter_moves_them_either_way() -> None:
    policy = RetryPolicy(initial_delay=1, max_delay=60, multiplier=2, jitter=0.2)
    assert [backoff_seconds(policy, attempt, 0.5) for attempt in (1, 2, 3)] == [1, 2, 4]
    assert backoff_seconds(policy, 1, 0.0) == pytest.approx(0.8)
    assert backoff_seconds(policy, 1, 0.999999) == pytest.approx(1.2, abs=0.001)


def test_the_last_attempt_is_not_followed_by_another() -> None:
    assert may_retry(RetryPolicy(max_attempts=3), 2)
    assert not may_retry(RetryPolicy(max_attempts=3), 3)


def test_fresh_ids_are_valid_and_all_different() -> None:
    ids = {new_task_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(is_task_id(task_id) for task_id in ids)
    assert not is_task_id(f"{ids.pop()}\n")


@pytest.mark.parametrize("text", ["", "a", "/a", "a/", "a/b/c"])
def test_what_is_no_queue_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not namespace/name"):
        QueueKey.parse(text)


def test_a_queue_key_is_read_as_it_is_written() -> None:
    assert QueueKey.parse(str(QueueKey("team", "demo"))) == QueueKey("team", "demo")


def test_priorities_are_read_by_their_words_in_order() -> None:
    assert [Priority.parse(word) for word in ("critical", "high", "normal", "low")] == sorted(Priority)


def test_only_pending_and_running_tasks_are_not_final() -> None:
    assert {state.value for state in TaskState if not state.is_final} == {"pending", "running"}
