"""Which of several controllers acts: the rule of the Lease that they share. Pure; nothing here reads a clock.

Every time is one of the controller's own clock, so that clocks which differ by hours do no harm: who waits counts from
when it *saw* the Lease renewed, who acts from when its own renewal *began*. The holder stops well before the others may
begin; what lies between bears clocks of different speed.
"""

from dataclasses import dataclass

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds. ``lease``: others wait this long after the last renewal that they saw. ``give_up``: a holder whose
    last good renewal began longer ago acts no more. ``renew``: from one renewal to the next. ``look``: how often the
    others look at the Lease, and how soon a failed renewal is tried again. ``answer``: how long a request may take.
    """

    lease: float = 10.0
    give_up: float = 7.0
    renew: float = 3.0
    look: float = 1.0
    answer: float = 2.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What the Lease says. ``holder`` is empty when it was let go; ``seconds`` is how long its holder asks the others
    to wait; ``mark`` is another one after every renewal."""

    holder: str
    seconds: float
    mark: str


class Candidacy:
    """One controller's part in it, as far as it can know: fed with what it saw and wrote.

    ``me`` must be the name of this very process: a restarted one is somebody else.
    """

    def __init__(self, me: str, timing: Timing) -> None:
        self._me = me
        self._timing = timing
        self._claim: Claim | None = None
        self._changed_at = NEVER
        self._acts_until = NEVER
        self._renewed_at = NEVER

    @property
    def acts_until(self) -> float:
        """It may act before this time and not any more at it."""
        return self._acts_until

    def saw(self, claim: Claim | None, now: float) -> None:
        """The Lease was read at ``now``; None: there is none. One that somebody deleted binds for as long as it would
        have: its holder does not know yet."""
        if claim is not None and claim != self._claim:
            self._claim, self._changed_at = claim, now
        if claim is None or claim.holder != self._me:
            self._acts_until = NEVER

    def wrote(self, claim: Claim, began: float, now: float) -> None:
        """What we wrote was accepted; the request began at ``began``, and whoever sees it sees it later."""
        self._claim, self._changed_at, self._renewed_at = claim, now, began
        self._acts_until = began + self._timing.give_up if claim.holder == self._me else NEVER

    def let_go(self) -> None:
        """From now on we act no more, whatever the Lease says."""
        self._acts_until = NEVER

    def may_take(self, now: float) -> bool:
        """Whether a claim of ours would be right, as far as was seen. The API server has the last word: of two that
        write over one version of the Lease it refuses the second."""
        return now >= self._free_at()

    def next_look(self, now: float) -> float:
        """When one that stands by reads the Lease again: soon, and exactly when it runs out."""
        soon, free_at = now + self._timing.look, self._free_at()
        return min(soon, free_at) if free_at > now else soon

    def next_renewal(self, now: float) -> float:
        """When one that acts renews: some time after the last good one; after a failure, soon."""
        return max(self._renewed_at + self._timing.renew, now + self._timing.look)

    def _free_at(self) -> float:
        if self._claim is None or self._claim.holder in ("", self._me):
            return NEVER
        return self._changed_at + self._claim.seconds
