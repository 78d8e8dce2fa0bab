"""What the adapters of all engines share. It runs in the engine's own environment: only the standard library.

    python ENGINE.py one COUNT               prints the seconds that COUNT enqueue calls took, one after another
    python ENGINE.py bulk COUNT              the same for COUNT tasks in bulk, or as near to it as the engine has
    python ENGINE.py pick-up COUNT SECONDS   prints as JSON the seconds from each enqueue call to the task's start
    python ENGINE.py nap SECONDS             enqueues one task that takes so long
    python ENGINE.py worker                  is a worker until it is killed

``BENCH_URL`` is the server. Every task notes in the file ``BENCH_TALLY`` that it began: the steady clock, which all
processes of a machine share, and the process that ran it.
"""

import asyncio
import inspect
import json
import os
import random
import struct
import sys
import time
from typing import Any, Protocol

URL = os.environ["BENCH_URL"]
PAYLOAD = "x" * 1024
NAP = "nap "
IN_A_BULK = 100  # enqueue calls gathered where an engine has no bulk call
PAUSE = (0.02, 0.03)  # seconds between two pick-ups: the worker is idle again
_RECORD = struct.Struct("dq")
_tally = os.open(os.environ["BENCH_TALLY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


class Engine(Protocol):
    """One engine; each method may be a coroutine function."""

    def open(self) -> Any: ...

    def enqueue(self, payload: str) -> Any: ...

    def enqueue_many(self, payloads: list[str]) -> Any: ...

    def worker(self) -> Any:
        """Work, for ever."""
        ...


def began(payload: str) -> float:
    """A task's first line: note that it begins; the seconds that it shall take."""
    os.write(_tally, _RECORD.pack(time.monotonic(), os.getpid()))
    return float(payload.split()[1]) if payload.startswith(NAP) else 0.0


def become(*command: str) -> None:
    """Be the library's own worker command of this environment from now on."""
    os.environ["PYTHONPATH"] = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - what it imports
    program = os.path.join(os.path.dirname(sys.executable), command[0])  # noqa: PTH118, PTH120
    os.execv(program, [program, *command[1:]])


def main(engine: Engine) -> None:
    action, *numbers = sys.argv[1:]
    if action == "worker":
        engine.worker()
    else:
        print(json.dumps(_runner(_act(engine, action, numbers))))


def _runner(work: Any) -> Any:
    try:
        import uvloop  # where the engine is for asyncio it has the faster loop: what its own worker would use
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


async def _settled(answer: Any) -> None:
    if inspect.isawaitable(answer):
        await answer


async def _act(engine: Engine, action: str, numbers: list[str]) -> Any:
    await _settled(engine.open())
    if action == "nap":
        return await _settled(engine.enqueue(f"{NAP}{numbers[0]} {PAYLOAD}"))
    count = int(numbers[0])
    if action == "pick-up":
        return await _pick_ups(engine, count, time.monotonic() + float(numbers[1]))
    start = time.perf_counter()
    if action == "bulk":
        await _settled(engine.enqueue_many([PAYLOAD] * count))
    else:
        for _ in range(count):
            await _settled(engine.enqueue(PAYLOAD))
    return time.perf_counter() - start


async def _pick_ups(engine: Engine, count: int, until: float) -> list[float]:
    took: list[float] = []
    while len(took) < count and time.monotonic() < until:
        before = os.fstat(_tally).st_size
        called = time.monotonic()
        await _settled(engine.enqueue(PAYLOAD))
        took.append(_next_start(before) - called)
        await asyncio.sleep(random.uniform(*PAUSE))
    return took


def _next_start(size: int) -> float:
    """When the first task began that is noted after so many bytes."""
    while os.fstat(_tally).st_size == size:
        time.sleep(0.001)
    with open(os.environ["BENCH_TALLY"], "rb") as file:  # noqa: PTH123
        file.seek(size)
        moment: float = _RECORD.unpack(file.read(_RECORD.size))[0]
    return moment
