"""The two ports of the reconciler: what runs workers, and where people see what happens.

On a cluster they are Deployments and the API server, on a laptop processes and a terminal. Whatever an
implementation raises is logged by the reconciler, counted, and tried again with a backoff; one object's trouble
never stops another's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.workerpool import WorkerPool
from taskfleet.core.errors import TaskfleetError
from taskfleet.core.plan import Plan
from taskfleet.core.pool import AutoscalersObserved

Kind = Literal["TaskQueue", "WorkerPool", "ParallelQueue"]
Shown = TaskQueue | WorkerPool | ParallelQueue
Guarded = TaskQueue | ParallelQueue
"""The kinds that get our finalizer."""


@dataclass(frozen=True, slots=True)
class FleetState:
    """The workers of one endpoint: ``workers`` asked for, ``ready`` of them able to work.

    ``trouble`` says in words why workers do not come up (an image that cannot be pulled, a process that exits),
    and is empty when nothing is known to be wrong. ``cold_start``: seconds from asking for a worker with a model server
    of its own to its being ready, when that was just measured.
    """

    workers: int = 0
    ready: int = 0
    trouble: str = ""
    cold_start: float | None = None


class FleetRefused(TaskfleetError):
    """Some workers cannot be as planned, by somebody's decision: ``by_endpoint`` says why. The others are."""

    code = "fleet_refused"

    def __init__(self, by_endpoint: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in by_endpoint.items()))
        self.by_endpoint = by_endpoint


class Fleet(Protocol):
    """What runs the workers of a pool."""

    async def observe(self, pool: WorkerPool) -> Mapping[str, FleetState]:
        """What is there now, by endpoint. It shows its own writes: after ``apply`` come the applied numbers.

        Called about once a second for a pool that works, so it should be cheap. "Could not see" is an exception,
        never an empty answer.
        """
        ...

    def autoscalers(self, pool: WorkerPool) -> AutoscalersObserved:
        """What else scales the pool, as last seen. Where nothing can, nothing."""
        ...

    async def apply(self, pool: WorkerPool, plan: Plan, inflight: Mapping[str, int]) -> None:
        """Make it so: start, stop and repair workers, and remove those of endpoints that left the pool.

        ``inflight``: running tasks by worker, as last reported. Of workers that go, the least busy go first.

        Called after every look, mostly with nothing to do: writes only where the world differs from the plan.
        Raises ``FleetRefused`` where people must do something; the pool's status tells them.
        """
        ...

    async def remove(self, namespace: str, name: str) -> None:
        """The pool is gone: stop what it ran. Nothing to do where owner references already do it."""
        ...


class Surface(Protocol):
    """Where people see our objects. ``obj`` is the newest one that the reconciler was given."""

    async def write_status(self, kind: Kind, obj: Shown, status: dict[str, Any]) -> None:
        """Show ``status``, whole and in wire form. Only called when it changed. An object that is gone is no error."""
        ...

    def event(self, kind: Kind, obj: Shown, reason: str, message: str, *, warning: bool) -> None:
        """Tell of one decision. Must not block and must not raise."""
        ...

    async def ensure_finalizer(self, obj: Guarded) -> None:
        """Put ``core.names.FINALIZER`` on the object. Only called when it is missing and nobody deletes the object."""
        ...

    async def release(self, obj: Guarded) -> None:
        """Take the finalizer away: nothing of the object is left to be done. An object that is gone is no error."""
        ...
