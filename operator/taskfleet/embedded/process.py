"""Child processes: in a group of their own, tethered to our life, their output in a log file."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

TETHER = Path(__file__).with_name("tether.py")
LARGEST_LOG_BYTES = 10_000_000
LAST_LINES_BYTES = 4096


async def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    when_orphaned: signal.Signals,
    stdin: bytes = b"",
    inherit: Sequence[int] = (),
) -> Process:
    """Start ``command`` (an absolute path and arguments). ``stdin`` is written and closed, never seen in ``ps``.

    In a session of its own, so that a terminal's Ctrl-C does not reach it: it is ended by us, in our order.
    """
    tether = (sys.executable, "-I", "-S", str(TETHER), str(int(when_orphaned)), str(os.getpid()))
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *tether,
            *command,
            env=dict(environment),
            stdin=PIPE if stdin else DEVNULL,
            stdout=output,
            stderr=STDOUT,
            pass_fds=inherit,
            start_new_session=True,
        )
    if process.stdin is not None:
        with suppress(BrokenPipeError, ConnectionResetError):  # it died at once; its exit code tells
            process.stdin.write(stdin)
            await process.stdin.drain()
        process.stdin.close()
    return process


def tell_to_end(process: Process) -> None:
    """SIGTERM to the process alone: what it started is its own to end."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()


def kill(process: Process) -> None:
    """SIGKILL to the process and everything in its group."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def end(process: Process, patience: float) -> None:
    """SIGTERM, and SIGKILL when it is still there after ``patience`` seconds."""
    tell_to_end(process)
    try:
        await asyncio.wait_for(process.wait(), patience)
    except TimeoutError:
        kill(process)
        await process.wait()


def how_it_ended(process: Process) -> str:
    """``exit code 1`` or ``signal SIGKILL``."""
    code = process.returncode or 0
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def keep_small(log: Path) -> None:
    """Set a large log aside as ``NAME.1``, in place of the one before."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > LARGEST_LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))


def last_line(log: Path, *, since: int = 0) -> str:
    """The last line with text in it, written after position ``since``; empty when there is none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since, size - LAST_LINES_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
