"""How many calls a worker has under way at once: up to the configured ceiling, less while the server cannot take them.

Additive increase, multiplicative decrease, as TCP does: a refusal (429, 503) halves the limit, a round trip of answers
raises it by a sixteenth of the ceiling. Latency lowers it by a fifth, and only when nearly all answers, each beside
others of its own length, take several times as long as they used to: a queue in front of the server helps nobody, but
an answer that is long is not an answer that is late. Pure; times are seconds of any steady clock.
"""

from taskfleet.core.task import Usage

REFUSED = 0.5
SLOW = 0.8
STEPS_TO_CEILING = 16
# An answer is late when it took this many times as long as the fastest of its length, and this many seconds longer: a
# worker on a machine that is short of CPU sees all of its calls be slow, and must not take that for the server's.
LATE_TIMES, LATE_SECONDS = 5.0, 5.0
# So many answers, and as many as run at once, are judged together; so large a share of them must be late.
JUDGED_TOGETHER, LATE_SHARE = 10, 0.9
# The fastest is forgotten slowly, so that a server that has become slower for good is taken as it is: after about
# 1,600 answers for one five times as slow.
_FORGET = 1.001


class AdaptiveConcurrency:
    """``limit`` is how many calls may run now, from 1 to ``ceiling``, where it begins."""

    def __init__(self, ceiling: int) -> None:
        self.limit = ceiling
        self._ceiling = ceiling
        self._step = max(1, ceiling // STEPS_TO_CEILING)
        self._lowered_at = self._raised_at = float("-inf")
        self._answers = 0
        self._judged = self._late = 0
        self._fastest: dict[tuple[int, int], float] = {}

    def answered(self, started: float, now: float, usage: Usage) -> None:
        """A call got a proper answer. One whose tokens nobody counted is not judged by its time."""
        late = self._is_late(now - started, usage)
        if late is not None:
            self._judge(late, started, now)
        if late or self.limit == self._ceiling or started < max(self._lowered_at, self._raised_at):
            return
        self._answers += 1
        if self._answers >= self.limit:
            self.limit = min(self._ceiling, self.limit + self._step)
            self._answers, self._raised_at = 0, now

    def refused(self, started: float, now: float) -> None:
        """The server had too much to do. Calls that were under way when the limit was lowered tell nothing new."""
        if started >= self._lowered_at:
            self._lower(REFUSED, now)

    def timed_out(self, started: float, now: float) -> None:
        """No answer in time: later than any that is late."""
        self._judge(True, started, now)

    def _judge(self, late: bool, started: float, now: float) -> None:
        if started < self._lowered_at:
            return
        self._judged += 1
        self._late += late
        if self._judged >= max(JUDGED_TOGETHER, self.limit):
            nearly_all = self._late >= LATE_SHARE * self._judged
            self._judged = self._late = 0
            if nearly_all:
                self._lower(SLOW, now)

    def _is_late(self, seconds: float, usage: Usage) -> bool | None:
        if not usage.output_tokens:
            return None
        length = usage.input_tokens.bit_length(), usage.output_tokens.bit_length()
        fastest = self._fastest.get(length, seconds)
        self._fastest[length] = min(seconds, fastest * _FORGET)
        return seconds > LATE_TIMES * fastest and seconds > fastest + LATE_SECONDS

    def _lower(self, factor: float, now: float) -> None:
        self.limit = max(1, int(self.limit * factor))
        self._lowered_at = now
        self._answers = self._judged = self._late = 0
