"""A claimed task on its way through the worker."""

import asyncio
from dataclasses import dataclass
from enum import Enum, auto

from taskfleet.core.settlement import Turn
from taskfleet.core.task import LeasedTask
from taskfleet.worker.streams import TaskStream


class Interruption(Enum):
    """Why a running call was stopped by us."""

    CANCELLED = auto()  # someone cancelled the task
    LOST = auto()  # its lease is no longer ours: the result would be refused
    HANDED_BACK = auto()  # we are going away


@dataclass(slots=True, eq=False)
class RunningCall:
    """``task`` is replaced when we claim again what we still run. ``model`` is who serves it. ``started``: by
    ``time.monotonic``, 0.0 while it waits for a slot. ``job`` is who makes the call, while it is made; then it has
    taken ``seconds``. ``turn``: what a conversation keeps of it."""

    task: LeasedTask
    model: str
    started: float = 0.0
    seconds: float = 0.0
    job: asyncio.Task[None] | None = None
    turn: Turn | None = None
    stream: TaskStream | None = None
    interruption: Interruption | None = None
