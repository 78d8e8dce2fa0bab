"""When a failed attempt comes back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff. Delays in seconds; ``jitter`` is the share by which a delay may move either way."""

    max_attempts: int = 5
    initial_delay: float = 1.0
    max_delay: float = 60.0
    multiplier: float = 2.0
    jitter: float = 0.2


def backoff_seconds(policy: RetryPolicy, attempt: int, random: float) -> float:
    """Delay before the attempt after number ``attempt`` (from 1). ``random`` is uniform in [0, 1)."""
    exponent = min(attempt - 1, 64)  # beyond this any multiplier above 1 has long met max_delay
    delay = min(policy.max_delay, policy.initial_delay * policy.multiplier**exponent)
    return min(policy.max_delay, delay * (1 + policy.jitter * (2 * random - 1)))


def may_retry(policy: RetryPolicy, attempt: int) -> bool:
    """Whether a task whose attempt number ``attempt`` failed has another one left."""
    return attempt < policy.max_attempts
