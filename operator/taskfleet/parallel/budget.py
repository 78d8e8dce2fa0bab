"""What one rendering may cost. Whatever repeats charges here, so that a template can neither run for ever nor grow
without bounds: it only has what ``language`` lets it have, and all of that charges."""

import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

MAX_STEPS = 1_000_000
MAX_TEXT = 1 << 20
MAX_SECONDS = 1.0


class Refused(Exception):
    """A rendering that goes beyond its bounds; the text says which."""


class Budget:
    """Of one rendering."""

    def __init__(self) -> None:
        self._left = MAX_STEPS
        self._until = time.monotonic() + MAX_SECONDS

    def charge(self, steps: int) -> None:
        """Raise Refused when the rendering repeats too often or takes too long."""
        self._left -= steps
        if self._left < 0:
            raise Refused(f"it repeats more than {MAX_STEPS:,} times; use shorter lists or fewer loops")
        if time.monotonic() > self._until:
            raise Refused(f"it takes longer than {MAX_SECONDS:g} s; use shorter lists or fewer loops")


CURRENT: ContextVar[Budget] = ContextVar("budget")


def charge(steps: int) -> None:
    CURRENT.get().charge(steps)


def check_text(size: int) -> None:
    """Raise Refused when a text would become too long."""
    if size > MAX_TEXT:
        raise Refused(f"its text would be longer than {MAX_TEXT:,} characters; ask for less at once")


def counted(values: Iterable[Any]) -> Iterator[Any]:
    """The values, each charged."""
    for value in values:
        charge(1)
        yield value
