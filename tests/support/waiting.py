"""Bounded waits that say what was awaited: used in place of sleeping for a time that one hopes is enough.

Who waits leaves the machine to what is awaited: the pause between two looks grows with the time waited, and is no
shorter than a look takes. The bound is generous, since only a test that fails comes to it.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

DEFAULT_TIMEOUT = 30.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.01, 0.05


async def eventually(  # the timeout is this function's purpose, not something a caller could wrap around it
    predicate: Callable[[], T | Awaitable[T]],
    what: str,
    *,
    timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109
) -> T:
    """The first truthy answer of ``predicate`` (plain or coroutine function); AssertionError naming ``what`` if none.

    ``timeout`` is in seconds. The predicate is asked once more at the end, so that a slow machine gets its last look.
    """
    began = time.monotonic()
    while True:
        asked = time.monotonic()
        late = asked >= began + timeout
        answer = predicate()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if late:
            raise AssertionError(f"waited {timeout:g} s for {what}; the last answer was {value!r}")
        await asyncio.sleep(_pause(began, asked))


def wait_until(predicate: Callable[[], T], what: str, *, timeout: float = DEFAULT_TIMEOUT) -> T:
    """The twin of ``eventually`` for tests without an event loop."""
    began = time.monotonic()
    while True:
        asked = time.monotonic()
        late = asked >= began + timeout
        value = predicate()
        if value:
            return value
        if late:
            raise AssertionError(f"waited {timeout:g} s for {what}; the last answer was {value!r}")
        time.sleep(_pause(began, asked))


def _pause(began: float, asked: float) -> float:
    """Seconds until the next look, when waiting ``began`` then and the last look began at ``asked``."""
    grown = min((asked - began) / 10, _LONGEST_PAUSE)
    return max(_SHORTEST_PAUSE, grown, time.monotonic() - asked)
