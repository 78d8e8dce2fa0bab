"""Whether the machine keeps somebody waiting who would run: troubles that nobody made.

Linux counts for each process the time that it could have run and did not (``/proc/PID/schedstat``). A worker that was
kept so for most of a moment may have missed a heartbeat, and whoever looks at its calls must know.
"""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

from chaos.crew import Seat
from chaos.history import HARNESS, History, Kind, Trouble

MOMENT_SECONDS = 0.25
MOST_OF_IT = 0.5


async def notice(history: History, seats: Iterable[Seat]) -> None:
    """For ever. This program late: its links hold up what workers send, and its times are late."""
    seats, waited = list(seats), dict[int, float]()
    while True:
        began = time.monotonic()
        await asyncio.sleep(MOMENT_SECONDS)
        now = time.monotonic()
        if now - began > 2 * MOMENT_SECONDS:
            history.troubles.append(Trouble(Kind.STALL, HARNESS, began, now))
        before, waited = waited, {}
        for seat in seats:
            pid, name = seat.pid, seat.name
            if pid is None:
                continue
            waited[pid] = waiting_seconds(pid)
            if waited[pid] - before.get(pid, waited[pid]) > MOST_OF_IT * (now - began):
                history.troubles.append(Trouble(Kind.STARVED, name, began, now))


def waiting_seconds(pid: int) -> float:
    """How long a process has been ready to run and not run, in all; 0 of one that is gone."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except FileNotFoundError:
        return 0.0
