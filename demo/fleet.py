"""The part that any user has: ``taskfleet up`` with the quickstart manifests, ``submit`` and ``result``."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from demo.modelprocess import DemoFailed
from taskfleet.embedded.process import TETHER

MANIFESTS = Path("manifests/quickstart")
MANIFEST_URL = "http://llm:8080/v1"
QUEUE = "demo"
TASKFLEET = Path(sys.executable).with_name("taskfleet")
END_SECONDS = 30.0
LARGEST_LINE_BYTES = 1_000_000


class Fleet:
    """A running ``taskfleet up`` and its data folder."""

    def __init__(self, process: Process, data: Path) -> None:
        self._process = process
        self._data = data

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """What ``up -o json`` says: ``{"time", "event"}`` and ``{"time", "snapshot"}``. Ends when it does."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            yield orjson.loads(line)

    async def submit(self, file: Path) -> str:
        """Submit all tasks of a file; returns the batch."""
        said = await self._run("submit", QUEUE, "-f", str(file))
        return str(said["batch"])

    async def save_results(self, batch: str, out: Path) -> None:
        """Write the batch's results, in input order. Failed tasks are results too."""
        await self._run("result", "--batch", batch, "--out", str(out), fine=(0, 1))

    async def _run(self, *arguments: str, fine: tuple[int, ...] = (0,)) -> Mapping[str, Any]:
        command = (*arguments, "--data", str(self._data), "-o", "json")
        process = await asyncio.create_subprocess_exec(TASKFLEET, *command, stdout=PIPE, stderr=PIPE)
        said, complained = await process.communicate()
        if process.returncode not in fine:
            raise DemoFailed(f"taskfleet {arguments[0]}: {complained.decode().strip()}")
        answer: Mapping[str, Any] = orjson.loads(said)
        return answer


def manifests_for(url: str, folder: Path) -> Path:
    """A copy of the quickstart in ``folder`` whose endpoint is the model server at ``url``."""
    copy = folder / "manifests"
    copy.mkdir()
    for manifest in MANIFESTS.glob("*.yaml"):
        (copy / manifest.name).write_text(manifest.read_text().replace(MANIFEST_URL, url))
    return copy


@asynccontextmanager
async def running_fleet(manifests: Path, data: Path) -> AsyncIterator[Fleet]:
    """``taskfleet up`` until the block ends: then its workers drain and its store stops."""
    tether = (sys.executable, "-I", "-S", str(TETHER), str(int(signal.SIGTERM)), str(os.getpid()))
    up = (str(TASKFLEET), "up", "-f", str(manifests), "--data", str(data), "-o", "json")
    process = await asyncio.create_subprocess_exec(*tether, *up, stdout=PIPE, limit=LARGEST_LINE_BYTES, process_group=0)
    try:
        yield Fleet(process, data)
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
