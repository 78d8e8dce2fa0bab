"""A submitter that is killed with SIGKILL: ``python dyingsubmitter.py URL NAMESPACE/QUEUE BATCH STEP IDS``.

It submits the tasks, says each script that it has run, and dies after the one of that number (0: before any).
"""

import asyncio
import os
import signal
import sys
from typing import Any

from taskfleet.core.task import NewTask, QueueKey
from taskfleet.store import Store
from taskfleet.store.lua import Script

# What changes nothing is no step.
_LOOKS = ("room", "get")


async def submit(url: str, hot: QueueKey, batch: str | None, step: int, ids: list[str]) -> None:
    store = await Store.connect(url)
    run, done = store._connection.run, 0

    async def run_and_die(script: Script, queue: QueueKey, *arguments: Any) -> Any:
        nonlocal done
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)
        reply = await run(script, queue, *arguments)
        if script.name not in _LOOKS:
            done += 1
            print(script.name, flush=True)
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return reply

    store._connection.run = run_and_die  # type: ignore[method-assign]
    await store.submit(hot, [NewTask(name, "small", b"{}") for name in ids], batch=batch)
    print("accepted", flush=True)


if __name__ == "__main__":
    _, url, queue, batch, step, *ids = sys.argv
    asyncio.run(submit(url, QueueKey.parse(queue), batch or None, int(step), ids))
