"""Run a command's coroutine so that Ctrl-C always ends it."""

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run``, with Ctrl-C as an event of the loop.

    The handler of ``asyncio.run`` itself cancels in the middle of whatever runs. A task that is cancelled while it runs
    and then enters ``asyncio.timeout(0)``, as the store's client library does before a call, loses the cancellation.
    """

    async def interruptible() -> T:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is None or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job
            return await work
        loop.add_signal_handler(signal.SIGINT, task.cancel)
        try:
            return await work
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    return asyncio.run(interruptible())


def stop_signal() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM, for what serves until then; on the running loop."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


@contextmanager
def blocking() -> Iterator[None]:
    """For reading that holds up the event loop: Ctrl-C, of which the loop could not tell, raises KeyboardInterrupt."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
