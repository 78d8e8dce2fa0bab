"""What the coordinator hears, and what it wants done: its events and commands."""

from dataclasses import dataclass
from enum import StrEnum

from taskfleet.core.parallel.rules import ItemStatus, OnUntil, RunState


@dataclass(frozen=True, slots=True)
class At:
    """Where an item is: all counted from 0; ``attempt`` is that of the step. Behind the last step is its judgement."""

    round: int = 0
    step: int = 0
    attempt: int = 0


class Outcome(StrEnum):
    """How a step ended. ``SKIPPED``: its condition did not hold."""

    OK = "ok"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"


# Events


@dataclass(frozen=True, slots=True)
class ItemCame:
    """The next item of the source."""


@dataclass(frozen=True, slots=True)
class SourceEnded:
    """There are no more items. ``error``: the source broke, and why."""

    error: str = ""


@dataclass(frozen=True, slots=True)
class StepEnded:
    """``retryable``: it is worth another attempt, where the step has one left."""

    index: int
    at: At
    outcome: Outcome
    error: str = ""
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class StepTimedOut:
    """A step has had its time. It fails once it has ended."""

    index: int
    at: At


@dataclass(frozen=True, slots=True)
class RoundJudged:
    """Whether an item goes another round. ``error``: that could not be said."""

    index: int
    again: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """The run is to end before its items have. What runs is treated as ``running`` says."""

    state: RunState
    reason: str
    running: OnUntil


Event = ItemCame | SourceEnded | StepEnded | StepTimedOut | RoundJudged | Stop


# Commands


@dataclass(frozen=True, slots=True)
class Take:
    """Bring up to so many more items, one ``ItemCame`` for each, or ``SourceEnded``. It stands for earlier ones."""

    count: int


@dataclass(frozen=True, slots=True)
class Run:
    """Run a step of an item, or say that it is skipped."""

    index: int
    at: At


@dataclass(frozen=True, slots=True)
class Judge:
    """Say whether an item goes another round."""

    index: int
    at: At


@dataclass(frozen=True, slots=True)
class CancelStep:
    """End a step that runs, or a judgement. That it has ended is still to be told."""

    index: int
    at: At


@dataclass(frozen=True, slots=True)
class EndItem:
    """An item has ended. ``reason``: why it did not complete."""

    index: int
    status: ItemStatus
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EndRun:
    """Nothing is open, and nothing more comes."""

    state: RunState
    reason: str = ""


Command = Take | Run | Judge | CancelStep | EndItem | EndRun
