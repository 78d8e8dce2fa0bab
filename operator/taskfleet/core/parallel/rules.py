"""What the coordinator of a parallel queue goes by, and the words for how items and runs end."""

from dataclasses import dataclass
from enum import StrEnum

MAX_ROUNDS = 1000


class OnError(StrEnum):
    """What follows when a step has failed for good: the next step, no other step of the item, or the end of the run."""

    CONTINUE = "continue"
    SKIP = "skip"
    STOP = "stop"


class OnUntil(StrEnum):
    """What becomes of the steps that run when the run is to end early."""

    FINISH = "finish"
    CANCEL = "cancel"


class ItemStatus(StrEnum):
    """How an item ended. ``cancelled``: the run ended before all of its steps had their turn."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunState(StrEnum):
    """Where a run is. ``completed``: also when ``until`` was reached, or items failed. ``failed``: a step stopped it,
    or its items could not be read. ``expired``: its deadline passed."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self is not RunState.RUNNING


@dataclass(frozen=True, slots=True)
class StepRule:
    """``attempts``: how often a step is tried in all."""

    on_error: OnError = OnError.SKIP
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Rules:
    """``has_while``: each item is judged after a round; without it one round is all."""

    steps: tuple[StepRule, ...]
    max_parallel: int
    has_while: bool = False
