"""A line now and then, where nobody would see a bar: in a log file, in a pipe."""

import time
from collections.abc import Callable
from typing import TypeVar

import click

EVERY_SECONDS = 5.0

T = TypeVar("T")


def now_and_then(line: Callable[[T], str]) -> Callable[[T], None]:
    """To be called at each look: says what ``line`` makes of it, after a while and then as often."""
    next_line = time.monotonic() + EVERY_SECONDS

    def show(seen: T) -> None:
        nonlocal next_line
        now = time.monotonic()
        if now >= next_line:
            next_line = now + EVERY_SECONDS
            click.echo(line(seen), err=True)

    return show
