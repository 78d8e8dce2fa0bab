"""The workers: real processes, each with a link of its own to the store, replaced when they are killed."""

import asyncio
import contextlib
import random
import signal
import time
from pathlib import Path

from chaos.history import History, Kind, Trouble
from chaos.link import Link
from chaos.model import ModelServer
from taskfleet.core.task import QueueKey
from tests.support.workerprocess import WorkerProcess, worker_process

CONCURRENCY = 24
HOUR = 3600
SHIFTED_CLOCK = Path(__file__).with_name("shiftedclock")
START_SECONDS = 180.0  # on a machine that is busy with other things it takes a while
END_SECONDS = 60.0


class Seat:
    """A place for one worker at a time. ``busy``: it is in trouble, or its worker has not begun to work."""

    def __init__(self, number: int, link: Link, queue: QueueKey, model: ModelServer, history: History) -> None:
        self.link = link
        self.busy = False
        self.name = ""
        self._number = number
        self._queue = queue
        self._model = model
        self._history = history
        self._generation = 0
        self._stack = contextlib.ExitStack()
        self._worker: WorkerProcess | None = None

    @property
    def worker(self) -> WorkerProcess:
        assert self._worker is not None, "start() comes first"
        return self._worker

    @property
    def pid(self) -> int | None:
        """Of the worker that runs; None when there is none."""
        return self._worker.pid if self._worker is not None and self._worker.running else None

    async def start(self, clock_shift: int) -> None:
        """A new worker, whose wall clock is wrong by so many seconds; returns when it works."""
        self._generation += 1
        self.name = f"w{self._number}.{self._generation}"
        self._history.shifted[self.name] = clock_shift
        self._worker = self._stack.enter_context(
            worker_process(
                f"valkey://127.0.0.1:{self.link.port}",
                self._queue,
                self._model.url(self.name),
                concurrency=CONCURRENCY,
                name=self.name,
                PYTHONPATH=str(SHIFTED_CLOCK),
                CHAOS_CLOCK_SHIFT=str(clock_shift),
                fresh=True,
            )
        )
        await self._worker.says("working", timeout=START_SECONDS)

    async def kill(self) -> Trouble:
        """SIGKILL, as the machine's memory killer does."""
        trouble = Trouble(Kind.KILL, self.name, time.monotonic())
        self.worker.signal(signal.SIGKILL)
        await asyncio.to_thread(self._stack.close)
        return trouble

    async def freeze(self, seconds: float) -> None:
        """SIGSTOP, and after so many seconds SIGCONT."""
        self.worker.signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.worker.signal(signal.SIGCONT)

    async def how_it_ended(self) -> str:
        """Nothing while the worker runs; else, since nobody killed it, its exit code and what it said last."""
        return "" if self.worker.running else await self._last_words()

    async def end(self) -> str:
        """SIGTERM; nothing when it ended well, else its exit code and what it said last."""
        self.worker.signal(signal.SIGTERM)
        words = await self._last_words()
        return "" if self._code == 0 else words

    async def _last_words(self) -> str:
        self._code = await self.worker.exit_code(timeout=END_SECONDS)
        said = self.worker.lines[-1:]
        await asyncio.to_thread(self._stack.close)
        return f"{self.name}: exit code {self._code}, {said}"

    def abandon(self) -> None:
        """Leave no process behind."""
        self._stack.close()


def draw_clock(rng: random.Random) -> int:
    """Of three workers one is an hour behind, one an hour ahead, and one right."""
    return rng.choice((-HOUR, 0, HOUR))
