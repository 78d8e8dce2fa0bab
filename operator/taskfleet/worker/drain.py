"""Going away: claim nothing, finish what fits the grace period, hand the rest back unburnt."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable

from taskfleet.worker.calls import Calls
from taskfleet.worker.outbox import Outbox
from taskfleet.worker.runningcall import Interruption

log = logging.getLogger(__name__)

# Of the grace period: to hand back what did not finish before SIGKILL comes.
HAND_BACK_SECONDS = 2.0


async def drain(calls: Calls, outbox: Outbox, *, deadline: float, hurry: asyncio.Event) -> bool:
    """Let running calls finish until two seconds before ``deadline`` (monotonic) or until ``hurry`` is set; then stop
    them, close their connections and release their tasks. Whether the store has taken everything.

    Nothing may be claimed any more; the outbox and the heartbeats must still run.
    """
    calls.hand_back_waiting()
    patience = max(deadline - HAND_BACK_SECONDS - time.monotonic(), 0.0)
    if calls.running:
        log.info("draining", extra={"running": len(calls.running), "seconds": round(patience, 1)})
    await _either(calls.until_idle(), hurry, patience)
    if calls.running:
        log.info("handing back what does not fit the grace period", extra={"running": len(calls.running)})
        calls.interrupt_all(Interruption.HANDED_BACK)
        await calls.until_idle()
    left = HAND_BACK_SECONDS if hurry.is_set() else max(deadline - time.monotonic(), HAND_BACK_SECONDS)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(left):
            await outbox.until_empty()
    return len(outbox) == 0


async def _either(done: Awaitable[None], hurry: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.ensure_future(done), asyncio.ensure_future(hurry.wait())]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits)
