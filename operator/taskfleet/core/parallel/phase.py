"""Where a ParallelQueue is, in the words of its status."""

from enum import StrEnum

from taskfleet.core.parallel.rules import RunState


class Phase(StrEnum):
    """``Pending``: its run has not begun. The others are those of the run."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"

    @property
    def is_final(self) -> bool:
        return self not in (Phase.PENDING, Phase.RUNNING)

    @classmethod
    def of(cls, state: RunState) -> "Phase":
        return cls(state.value.capitalize())
