"""Bounded waits that say what was awaited: used in place of sleeping for a time that one hopes is enough."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

DEFAULT_TIMEOUT = 10.0
_PAUSE = 0.01


async def eventually(  # the timeout is this function's purpose, not something a caller could wrap around it
    predicate: Callable[[], T | Awaitable[T]],
    what: str,
    *,
    timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109
) -> T:
    """The first truthy answer of ``predicate`` (plain or coroutine function); AssertionError naming ``what`` if none.

    ``timeout`` is in seconds. The predicate is asked once more at the end, so that a slow machine gets its last look.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        answer = predicate()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if late:
            raise AssertionError(f"waited {timeout:g} s for {what}; the last answer was {value!r}")
        await asyncio.sleep(_PAUSE)


def wait_until(predicate: Callable[[], T], what: str, *, timeout: float = DEFAULT_TIMEOUT) -> T:
    """The twin of ``eventually`` for tests without an event loop."""
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        value = predicate()
        if value:
            return value
        if late:
            raise AssertionError(f"waited {timeout:g} s for {what}; the last answer was {value!r}")
        time.sleep(_PAUSE)
