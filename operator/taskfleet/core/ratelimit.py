"""What an endpoint may be asked in a minute, and what its workers reserve of that before they call it.

The store counts (scripts/limit.lua): a reservation counts from when it was made until every call that started under it
has started more than a minute ago. So no 60 seconds, wherever they begin, see more calls start than the limit says.
"""

from dataclasses import dataclass
from enum import StrEnum

# A call must have started this many seconds after it was reserved, or not start under that reservation. The store
# counts a reservation for that much longer than a minute.
START_WITHIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests and tokens (of input and output together) that may start in any 60 seconds; None: no limit."""

    requests: int | None = None
    tokens: int | None = None

    def __bool__(self) -> bool:
        return self.requests is not None or self.tokens is not None

    def tasks_per_minute(self, tokens_per_task: float | None) -> float | None:
        """Tasks that the limits let start in a minute, of one call each; None when nothing limits them, as far as is
        known: how many tokens a task takes must have been measured."""
        rates = []
        if self.requests is not None:
            rates.append(float(self.requests))
        if self.tokens is not None and tokens_per_task:
            rates.append(self.tokens / tokens_per_task)
        return min(rates, default=None)

    def words(self) -> str:
        """``600 requests and 200000 tokens a minute``."""
        parts = [
            f"{number} {kind}"
            for number, kind in ((self.requests, "requests"), (self.tokens, "tokens"))
            if number is not None
        ]
        return f"{' and '.join(parts)} a minute"


NO_LIMITS = RateLimits()


class Lacking(StrEnum):
    """What a reservation was refused for."""

    NOTHING = ""
    REQUESTS = "requests"
    TOKENS = "tokens"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Returned:
    """A change of what was reserved at the time ``at`` (ms of the store's clock): below 0 is given back and above 0
    was used beyond the estimate."""

    at: int
    requests: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """How many of the wanted calls may start, in their order; ``at`` is when, in ms of the store's clock.

    When not all: ``lacking`` says what, and ``wait`` the seconds until the next one may have room, should nobody give
    anything back. ``requests`` and ``tokens`` are what counts now, this reservation included.
    """

    granted: int
    at: int
    wait: float = 0.0
    lacking: Lacking = Lacking.NOTHING
    requests: int = 0
    tokens: int = 0
