"""What one rendering may cost. Whatever repeats charges here, so that a template can neither run for ever nor grow
without bounds: it only has what ``language`` lets it have, and all of that charges."""

import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

MAX_STEPS = 1_000_000
MAX_TEXT = 1 << 20
MAX_SECONDS = 1.0  # of CPU: others may have the machine meanwhile
_LOOK_EVERY = 100  # steps: most renderings need no clock, and a step may take a millisecond


class Refused(Exception):
    """A rendering that is not to be; the text says why."""


class TooMuch(Refused):
    """One that goes beyond its bounds; the text says which."""


class Budget:
    """Of one rendering."""

    def __init__(self) -> None:
        self._left = MAX_STEPS
        self._next_look = MAX_STEPS - _LOOK_EVERY
        self._until: float | None = None

    def charge(self, steps: int) -> None:
        """Raise TooMuch when the rendering repeats too often or takes too long."""
        self._left -= steps
        if self._left < self._next_look:
            self._look()

    def _look(self) -> None:
        if self._left < 0:
            raise TooMuch(f"it repeats more than {MAX_STEPS:,} times; use shorter lists or fewer loops")
        self._next_look = max(0, self._left - _LOOK_EVERY)
        now = time.thread_time()
        if self._until is None:
            self._until = now + MAX_SECONDS
        elif now > self._until:
            raise TooMuch(f"it takes longer than {MAX_SECONDS:g} s; use shorter lists or fewer loops")


CURRENT: ContextVar[Budget] = ContextVar("budget")


def charge(steps: int) -> None:
    CURRENT.get().charge(steps)


def check_text(size: int) -> None:
    """Raise TooMuch when a text would become too long."""
    if size > MAX_TEXT:
        raise TooMuch(f"its text would be longer than {MAX_TEXT:,} characters; ask for less at once")


def counted(values: Iterable[Any]) -> Iterator[Any]:
    """The values, each charged."""
    for value in values:
        charge(1)
        yield value
