"""What the processes under one use together, as the kernel tells. Linux only.

The kernel limits each process by itself; a limit for all of them together would need control groups, which an ordinary
pod has not. So they are looked at, often.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Used:
    """``memory`` in bytes that are not shared with files, ``cpu`` in seconds, also of those that have ended."""

    processes: int = 0
    memory: int = 0
    cpu: float = 0.0


def used_under(pid: int) -> Used:
    """All descendants of a process, without itself; one that ends meanwhile counts for nothing."""
    processes, memory, cpu = 0, 0, 0.0
    waiting = _children(pid)
    while waiting:
        each = waiting.pop()
        waiting += _children(each)
        try:
            resident, shared = map(int, (_PROC / str(each) / "statm").read_text().split()[1:3])
            times = (_PROC / str(each) / "stat").read_text().rpartition(")")[2].split()[11:15]
        except (OSError, ValueError):
            continue
        processes += 1
        memory += max(0, resident - shared) * _PAGE
        cpu += sum(map(int, times)) / _TICKS
    return Used(processes, memory, cpu)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:
        pass  # it has ended
    return found
