"""Programs that a test starts: each begins with Ctrl-C in force, and none outlives its test or leaves a pipe open."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def let_programs_heed_ctrl_c() -> None:
    """Make what we start obey SIGINT, though we ignore it ourselves when a shell runs us in the background.

    A program inherits what its parent ignores, but not what it handles: so SIGINT is handled, by doing nothing.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda _number, _frame: None)


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program for the length of the block, killed at its end if it is still there. Options are those of Popen."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()
