"""What a controller takes over from the one before it, so that a restart costs no pool its past.

All of it stands in the pool's status, where it serves people too: how long an endpoint has been idle, how fast it is
and how fast it starts, and when and why the number of its workers last changed.
"""

import time
from collections.abc import Callable
from typing import Any

from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.world import PoolState
from taskfleet.core.scaling import ScaleMemory
from taskfleet.core.wiretime import moment_of, wire_time


def heir(clock: Callable[[], float]) -> Callable[[WorkerPool], PoolState]:
    """``inherit`` for a World whose times are those of ``clock``."""

    def inherit(pool: WorkerPool) -> PoolState:
        endpoints = pool.status.get("endpoints", ())
        return PoolState(
            pool,
            pace={each["name"]: each["latencySeconds"] for each in endpoints if "latencySeconds" in each},
            cold_starts={each["name"]: each["coldStartSeconds"] for each in endpoints if "coldStartSeconds" in each},
            memory={each["name"]: _idle(each, clock()) for each in endpoints if "idleSince" in each},
            last_scale_time=pool.status.get("lastScaleTime"),
            last_scale_reason=pool.status.get("lastScaleReason", ""),
        )

    return inherit


def idle_since(memory: ScaleMemory | None, shown: str | None, now: float) -> str | None:
    """The time to show, given ``now`` on the clock of ``memory``. What is ``shown`` stays while it is true to the
    second: two clocks that drift must not write a status anew."""
    if memory is None or memory.idle_since is None:
        return None
    since = time.time() - (now - memory.idle_since)
    if shown is not None and abs(moment_of(shown) - since) < 2:
        return shown
    return wire_time(since)


def _idle(endpoint: dict[str, Any], now: float) -> ScaleMemory:
    return ScaleMemory(idle_since=now - max(0.0, time.time() - moment_of(endpoint["idleSince"])))
