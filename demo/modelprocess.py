"""The model server as a process of the demo, and a sample of calls made one after another."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from demo.figures import Sample
from demo.model_server import MODEL, PORT, PORT_TAKEN

START_SECONDS = 120.0
CALL_SECONDS = 120.0
WARM_UP_CALLS = 16  # at once: more than all slots, so that hardly one stays cold


class DemoFailed(Exception):
    """Something that the demo needs did not work; the message is for people."""


@asynccontextmanager
async def model_server() -> AsyncIterator[tuple[Process, str]]:
    """The server's process and its base URL: on the usual port, or on any free one when that is taken."""
    process, line = await _start(PORT)
    if await _exit_code(process, line) == PORT_TAKEN:
        process, line = await _start(0)
    try:
        if not line.startswith("serving "):
            raise DemoFailed(f"the model server does not start: {line or 'it says nothing'}")
        yield process, line.split()[-1]
    finally:
        await _end(process)


async def _start(port: int) -> tuple[Process, str]:
    """Start it and wait for its first line."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "demo.model_server", "--port", str(port)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
        process_group=0,  # a Ctrl-C is for the demo, which ends the server when nobody needs it any more
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            return process, (await process.stdout.readline()).decode().strip()
    except TimeoutError:
        await _end(process)
        raise DemoFailed(f"the model server did not start within {START_SECONDS:.0f} s") from None


async def _exit_code(process: Process, line: str) -> int | None:
    return None if line.startswith("serving ") else await process.wait()


async def _end(process: Process) -> None:
    if process.returncode is None:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def warm_up(url: str, tasks: Sequence[Mapping[str, Any]]) -> None:
    """Let the server read what all prompts begin with, as it has after its first moments in any longer run."""
    async with httpx.AsyncClient(base_url=url, timeout=CALL_SECONDS) as client:
        await asyncio.gather(*(_call(client, task) for task in tasks[:WARM_UP_CALLS]))


async def one_after_another(url: str, tasks: Sequence[Mapping[str, Any]]) -> Sample:
    """The same calls without a queue: each waits for the answer to the one before, on one connection."""
    async with httpx.AsyncClient(base_url=url, timeout=CALL_SECONDS) as client:
        started = time.monotonic()
        for task in tasks:
            await _call(client, task)
        return Sample(len(tasks), time.monotonic() - started)


async def _call(client: httpx.AsyncClient, task: Mapping[str, Any]) -> None:
    body = {"model": MODEL, "messages": task["messages"], **task["parameters"]}
    try:
        (await client.post("/chat/completions", json=body)).raise_for_status()
    except httpx.HTTPError as error:
        raise DemoFailed(f"the model server at {client.base_url} does not answer: {error!r}") from error
