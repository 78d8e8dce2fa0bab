"""Tells when the event loop stands still, and in which line: a handler that never awaits holds up everything.

Its heartbeats too; so what runs is kept ours from here until the loop turns again.
"""

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from types import TracebackType

from taskfleet.core.errors import StoreError

log = logging.getLogger(__name__)

TOO_LONG = 2.0


class LoopWatch:
    """While entered, a thread looks whether the loop still turns. It cannot stop such code, nobody can in Python.

    ``keep`` renews the leases of what runs; it is run on a loop of the thread's own.
    """

    def __init__(self, keep: Callable[[], Awaitable[None]], too_long: float = TOO_LONG) -> None:
        self._keep = keep
        self._too_long = too_long
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._turned = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="taskfleet-loop-watch", daemon=True)

    def __enter__(self) -> "LoopWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()

    def _watch(self) -> None:
        told = False
        while not self._end.wait(self._too_long / 4):
            self._turned.clear()
            try:
                self._loop.call_soon_threadsafe(self._turned.set)
            except RuntimeError:
                return  # the loop is closed
            while not self._turned.wait(self._too_long) and not self._end.is_set():
                if not told:
                    self._tell()
                told = True
                asyncio.run(self._kept())
            told = False

    def _tell(self) -> None:
        log.warning(
            "the event loop has stood still for %g s, in %s; await there, or make the handler a plain function, which "
            "runs in a thread",
            self._too_long,
            self._where(),
        )

    async def _kept(self) -> None:
        try:
            await self._keep()
        except StoreError as error:
            log.warning("what runs cannot be kept while the event loop stands still", extra={"error": str(error)})

    def _where(self) -> str:
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001  the only way to see another thread
        stack = traceback.extract_stack(frame) if frame is not None else []
        return f"{stack[-1].filename}, line {stack[-1].lineno}" if stack else "code that cannot be seen"
