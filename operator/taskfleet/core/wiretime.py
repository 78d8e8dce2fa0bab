"""Times as Kubernetes and our commands write them: RFC 3339, to the second."""

from datetime import UTC, datetime


def wire_time(seconds: float) -> str:
    """Seconds since the epoch as text."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str) -> float:
    """And back again. ValueError when it is no such time."""
    return datetime.fromisoformat(text).timestamp()
