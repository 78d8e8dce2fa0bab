"""The program of a worker, started in one of two ways.

A fresh one is ``python -m taskfleet.worker``. A warm one is forked from a process that has loaded all of it, as
Python's forkserver does it: to load it costs more than most tests do.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.reduction import DupFd
from typing import Any

_SECONDS_TO_DIE = 30.0


class FreshWorker:
    """``stderr`` is the file descriptor to which it writes its log."""

    def __init__(self, environment: Mapping[str, str], stderr: int) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "taskfleet.worker"], env=environment, stderr=stderr)
        self.pid = self._process.pid

    def exit_code(self) -> int | None:
        """Negative: the signal that ended it. None: it runs."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        """Kill it, if it is still there."""
        self._process.kill()
        self._process.wait(_SECONDS_TO_DIE)


class WarmWorker:
    """The same, forked."""

    def __init__(self, environment: Mapping[str, str], stderr: int) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["taskfleet.worker.__main__"])
        self._process = context.Process(target=_run, args=(dict(environment), _Descriptor(stderr)), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def exit_code(self) -> int | None:
        return self._process.exitcode

    def signal(self, number: int) -> None:
        if self._process.is_alive():
            os.kill(self.pid, number)

    def end(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.join(_SECONDS_TO_DIE)


class _Descriptor:
    """A file descriptor, which the other process receives as one of its own."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self._number),)


def _received(sent: Any) -> int:
    return int(sent.detach())


def _run(environment: dict[str, str], stderr: int) -> None:
    os.dup2(stderr, 2)
    os.close(stderr)
    os.environ.clear()
    os.environ.update(environment)
    from taskfleet.worker.__main__ import main

    sys.exit(main())
