"""Retry-After: both forms, clocks that disagree, nonsense, and bounds."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.providers.retry_after import MAX_SECONDS, retry_after_seconds

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
AT_NOON = "Sun, 01 Mar 2026 12:00:00 GMT"
AT_30_PAST = "Sun, 01 Mar 2026 12:00:30 GMT"
A_DAY_BEHIND = "Sat, 28 Feb 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, None, None),
        ("0", None, 0.0),
        ("7", None, 7.0),
        (" 1.5 ", None, 1.5),
        ("86400", None, MAX_SECONDS),
        ("-3", None, None),
        ("soon", None, None),
        ("", None, None),
        ("nan", None, None),
        ("inf", None, None),
        (AT_30_PAST, None, 30.0),
        (AT_30_PAST, AT_NOON, 30.0),
        (AT_30_PAST, "not a date", 30.0),
        ("Sat, 28 Feb 2026 12:00:20 GMT", A_DAY_BEHIND, 20.0),
        ("Sat, 28 Feb 2026 12:00:20 GMT", None, 0.0),
        ("Sun Mar  1 12:00:05 2026", None, 5.0),
        ("Sun, 99 Foo 2026 12:00:00 GMT", None, None),
    ],
)
def test_seconds_from_the_header(value: str | None, date: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, date, NOW) == seconds


@given(st.text(), st.none() | st.text())
def test_no_header_can_break_or_park_a_worker(value: str, date: str | None) -> None:
    seconds = retry_after_seconds(value, date, NOW)
    assert seconds is None or 0 <= seconds <= MAX_SECONDS
