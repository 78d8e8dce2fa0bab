"""The worker processes of one endpoint: started, watched, replaced when they die, ended with a grace period."""

import asyncio
import secrets
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from pathlib import Path

from taskfleet.embedded.process import how_it_ended, kill, last_line, spawn, tell_to_end
from taskfleet.worker.variables import WORKER

COMMAND = (sys.executable, "-m", "taskfleet.worker")
# A worker that lived this long was not broken from the start: its successor starts at once.
LIVED_WELL_SECONDS = 10.0
FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 30.0
# After its grace period a worker hands back what it could not finish; then it is given up.
HAND_BACK_SECONDS = 5.0


class Crew:
    """``wanted`` workers of one endpoint. ``changed`` is called when another look at the pool is due.

    ``workers`` are those at work, by name. ``trouble`` says why they do not stay, while that is so.
    """

    def __init__(self, label: str, *, log: Path, tell: Callable[[str], None], changed: Callable[[], None]) -> None:
        self.wanted = 0
        self.trouble = ""
        self.workers: dict[str, Process] = {}
        self._label = label
        self._log = log
        self._tell = tell
        self._changed = changed
        self._environment: Mapping[str, str] = {}
        self._grace = 0.0
        self._leaving: dict[str, Process] = {}
        self._followers: set[asyncio.Task[None]] = set()
        self._early_deaths = 0
        self._not_before = 0.0

    def prepare(self, environment: Mapping[str, str], grace: float) -> None:
        """What the next workers get; those that were started with something else are replaced. Seconds of grace."""
        self._grace = grace
        if environment != self._environment:
            self._environment = environment
            self._early_deaths, self._not_before = 0, 0.0
            for name in list(self.workers):
                self._end(name)

    async def scale(self, wanted: int, *, busy: Mapping[str, int]) -> None:
        """Have ``wanted`` workers. The least busy go first; ``busy`` is running tasks by worker."""
        self.wanted = wanted
        for name in sorted(self.workers, key=lambda name: busy.get(name, 0))[: max(0, len(self.workers) - wanted)]:
            self._end(name)
        if not wanted:
            self.trouble = ""
        while len(self.workers) < self.wanted and time.monotonic() >= self._not_before:
            await self._start()

    def dismiss(self) -> None:
        """Tell all workers to end."""
        self.wanted = 0
        for name in list(self.workers):
            self._end(name)

    async def gone(self) -> None:
        """Return when no process is left."""
        await asyncio.gather(*self._followers)

    def kill(self) -> None:
        """End every process now. Its tasks come back to the queue when their leases end."""
        for process in (*self.workers.values(), *self._leaving.values()):
            kill(process)

    @property
    def processes(self) -> int:
        return len(self.workers) + len(self._leaving)

    async def _start(self) -> None:
        name = f"{self._label}-{secrets.token_hex(3)}"
        start = self._log.stat().st_size if self._log.exists() else 0
        process = await spawn(
            COMMAND,
            environment={**self._environment, WORKER: name},
            log=self._log,
            when_orphaned=signal.SIGKILL,
        )
        self.workers[name] = process
        follower = asyncio.create_task(self._follow(name, process, start))
        self._followers.add(follower)
        follower.add_done_callback(self._followers.discard)

    def _end(self, name: str) -> None:
        process = self._leaving[name] = self.workers.pop(name)
        tell_to_end(process)
        asyncio.get_running_loop().call_later(self._grace + HAND_BACK_SECONDS, kill, process)

    async def _follow(self, name: str, process: Process, log_start: int) -> None:
        started = time.monotonic()
        await process.wait()
        if self._leaving.pop(name, None) is None:
            del self.workers[name]
            self._died(name, process, time.monotonic() - started, log_start)
        elif not self._leaving:
            self._changed()

    def _died(self, name: str, process: Process, lived: float, log_start: int) -> None:
        how = how_it_ended(process)
        said = last_line(self._log, since=log_start) if process.returncode and process.returncode > 0 else ""
        self._early_deaths = 0 if lived > LIVED_WELL_SECONDS else self._early_deaths + 1
        delay = 0.0
        if self._early_deaths:
            delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** (self._early_deaths - 1))
        self._not_before = time.monotonic() + delay
        text = f"worker {name} ended ({how})" + (f": {said}" if said else "")
        self.trouble = f"{text}; its log is {self._log}" if self._early_deaths > 1 else ""
        self._tell(f"{text}; its tasks come back when their leases end")
        asyncio.get_running_loop().call_later(delay, self._changed)
