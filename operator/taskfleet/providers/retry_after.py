"""The Retry-After header: seconds, or a date."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_SECONDS = 600.0
_SECONDS = re.compile(r"^[0-9]{1,9}(\.[0-9]+)?$")


def retry_after_seconds(value: str | None, server_date: str | None, now: datetime) -> float | None:
    """Seconds to wait, between 0 and ten minutes; None without a header or with one that says nothing.

    A date is measured from the answer's own Date header, so that a server whose clock differs from ours is understood;
    without one from ``now``.
    """
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.match(text):
        return min(float(text), MAX_SECONDS)
    until = _date(text)
    if until is None:
        return None
    return min(max((until - (_date(server_date) or now)).total_seconds(), 0.0), MAX_SECONDS)


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a year or a zone beyond all bounds
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
