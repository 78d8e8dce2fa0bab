"""Times as Kubernetes and our commands write them: RFC 3339, mostly to the second."""

import re
from datetime import UTC, datetime

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def wire_time(seconds: float) -> str:
    """Seconds since the epoch as text."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def exact_wire_time(seconds: float) -> str:
    """The same to the millisecond, as the store has it: for who reckons with it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_of(text: object) -> float:
    """Seconds since the epoch of a time that a person wrote. ValueError with the fix when it is none with its zone."""
    try:
        if isinstance(text, str) and _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text.upper()).timestamp()
    except ValueError:
        pass  # the 30th of February
    raise ValueError(f"{text!r} is not a time in RFC 3339 with its zone; write a string such as 2030-01-31T18:00:00Z")
