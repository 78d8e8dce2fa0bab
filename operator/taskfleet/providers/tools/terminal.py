"""The tool ``terminal``: one command in a sandbox, told as exit status and output, or as what it was killed for."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Mapping
from typing import Any

from taskfleet.api.toolcalls import TerminalArguments
from taskfleet.api.toolsettings import TerminalSettings, ToolSettings
from taskfleet.core.outcome import Ok, Outcome
from taskfleet.providers.tools.sandbox import NoSandbox, Sandbox, end
from taskfleet.providers.tools.tool import failed
from taskfleet.providers.tools.watching import Used, used_under

LOOK_SECONDS = 0.05
# bubblewrap's own beside the command's: the first process of the namespace.
_OWN_PROCESSES = 1
# A shell tells of a signal by an exit status of 128 and its number.
_SIGNALLED = 128
_OF_SIGNALS = {signal.SIGXCPU: "cpu time", signal.SIGXFSZ: "file size"}


class TerminalTool:
    """Commands do not see each other."""

    def __init__(self, settings: ToolSettings) -> None:
        self._settings = settings.terminal
        self._sandbox = Sandbox(settings.terminal)

    async def run(self, arguments: TerminalArguments) -> Outcome:
        command = arguments.command
        words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        try:
            process = await self._sandbox.start(words)
        except NoSandbox as why:
            return failed("no_sandbox", f"there is no sandbox on this worker, so that nothing is run: {why}")
        return Ok(await _Run(process, self._settings, arguments).told())

    async def close(self) -> None:
        """Nothing runs between calls."""


class _Run:
    """A command that runs. Whatever ends this also ends the command and all that it started."""

    def __init__(
        self, process: asyncio.subprocess.Process, settings: TerminalSettings, arguments: TerminalArguments
    ) -> None:
        self._process = process
        self._settings = settings
        self._arguments = arguments
        self._began = time.monotonic()
        self._killed_by: str | None = None

    async def told(self) -> Mapping[str, Any]:
        process = self._process
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        jobs = [
            asyncio.create_task(each)
            for each in (self._read(process.stdout), self._read(process.stderr), self._write(process.stdin))
        ]
        watching = asyncio.create_task(self._watch())
        try:
            out, err, _ = await asyncio.gather(*jobs)
            status = await process.wait()
        finally:
            for job in (*jobs, watching):
                job.cancel()
            await asyncio.wait((*jobs, watching))
            await end(process)
        return {
            "ok": status == 0 and self._killed_by is None,
            "exit_status": None if self._killed_by else status,
            "killed_by": self._killed_by or _limit_of(status),
            "stdout": out,
            "stderr": err,
            "seconds": round(time.monotonic() - self._began, 3),
        }

    async def _read(self, stream: asyncio.StreamReader) -> str:
        """What it prints, as far as that is allowed."""
        data, most = bytearray(), self._settings.output_size.bytes
        while part := await stream.read(65536):
            if len(data) + len(part) > most:
                self._kill("output")
            data += part[: most - len(data)]
        return data.decode(errors="replace")

    async def _write(self, stream: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):  # it may end without having read all
            stream.write(self._arguments.stdin.encode())
            await stream.drain()
        stream.close()

    async def _watch(self) -> None:
        while self._killed_by is None:
            if time.monotonic() - self._began > self._arguments.timeout:
                self._kill("time")
            elif too_much := self._too_much(used_under(self._process.pid)):
                self._kill(too_much)
            else:
                await asyncio.sleep(LOOK_SECONDS)

    def _too_much(self, used: Used) -> str:
        settings = self._settings
        if used.memory > settings.memory.bytes:
            return "memory"
        if used.cpu > settings.cpu_time.seconds:
            return "cpu time"
        return "processes" if used.processes > settings.processes + _OWN_PROCESSES else ""

    def _kill(self, why: str) -> None:
        if self._killed_by is None and self._process.returncode is None:
            self._killed_by = why
            self._process.kill()


def _limit_of(status: int) -> str | None:
    """The kernel's limit that a status tells of, if any."""
    return next((words for number, words in _OF_SIGNALS.items() if status == _SIGNALLED + number), None)
