"""The breaker of one endpoint: after trouble claim nothing for a while, then let one call through. Pure.

Times are seconds of any steady clock.
"""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0


class Breaker:
    """Closed: claim freely. Open: claim nothing until its pause is over. Then one call decides.

    ``trouble`` is what opened it, in words; "" while closed. ``asked_to_wait``: the server is well and said so itself.
    """

    def __init__(self) -> None:
        self.trouble = ""
        self.asked_to_wait = False
        self._openings = 0
        self._open_until = 0.0
        self._probe: str | None = None

    def allows(self, slots: int, now: float) -> int:
        """How many tasks may be claimed now, of ``slots`` that are free."""
        if not self.trouble:
            return slots
        return min(slots, 1) if self._probe is None and now >= self._open_until else 0

    def seconds_until_probe(self, now: float) -> float | None:
        """When ``allows`` changes by time alone; None when only an event changes it."""
        return None if not self.trouble or self._probe is not None else max(self._open_until - now, 0.0)

    def started(self, task_id: str) -> None:
        """A call starts. While open it is the one that decides."""
        if self.trouble:
            self._probe = task_id

    def worked(self) -> None:
        """The server gave a proper answer to any call: closed."""
        self.trouble = ""
        self._openings = 0
        self._probe = None

    def failed(
        self, task_id: str, trouble: str, now: float, after: float | None = None, *, asked_to_wait: bool = False
    ) -> None:
        """The server is in trouble, or has too much to do; ``after`` are the seconds that it asked for.

        The calls that were under way when it opened tell nothing new when they fail too: only the deciding call makes
        the pause longer.
        """
        if self.trouble and self._probe != task_id:
            self._open_until = max(self._open_until, now + (after or 0.0))
            return
        pause = min(FIRST_PAUSE * 2**self._openings, LONGEST_PAUSE)
        self._openings = min(self._openings + 1, 16)
        self._open_until = now + (pause if after is None else max(after, FIRST_PAUSE))
        self.trouble = trouble
        self.asked_to_wait = asked_to_wait
        self._probe = None

    def undecided(self, task_id: str) -> None:
        """A call ended without telling anything of the server (cancelled, handed back): another one may decide."""
        if self._probe == task_id:
            self._probe = None
