"""What happened in a run: calls, troubles, submissions. Times are seconds of this machine's steady clock."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

STORE = "the store"
SUBMITTERS = "the submitters"
MODEL = "the model server"
HARNESS = "this program"
# What goes on for a moment after a trouble: pauses before the next try, bytes on their way.
LINGERS_SECONDS = 1.0


class Kind(StrEnum):
    """A way to break something."""

    KILL = "worker killed"
    FREEZE = "worker frozen"
    CUT = "link cut"
    HOLD = "link silent"
    DELAY = "link slow"
    HALF_CLOSE = "link half closed"
    STORE_KILL = "store killed"
    OUTAGE = "model server down"
    STALL = "this program late"  # not on purpose: the machine is too busy, and all links stand still
    STARVED = "worker kept from running"  # nor this: the machine is too busy


@dataclass(slots=True)
class Call:
    """One call that reached the model server: the side effect. ``fault``: what it was answered with in place of a
    completion, "" for none."""

    number: int
    task: str
    worker: str
    began: float
    answered: float | None = None
    fault: str = ""


@dataclass(slots=True)
class Trouble:
    """``of`` is a worker's name or one of the names above. A killed worker is in trouble for ever."""

    kind: Kind
    of: str
    began: float
    ended: float = math.inf

    def touches(self, since: float, until: float) -> bool:
        """Whether it can have had an effect between these two moments."""
        return self.began <= until and since <= self.ended + LINGERS_SECONDS


@dataclass(frozen=True, slots=True)
class Submission:
    """Tasks that were submitted together, and of which it was never heard whether they were accepted."""

    ids: tuple[str, ...]


@dataclass(slots=True)
class History:
    """``accepted``: when the store's yes to each task was heard. ``submitted``: how many were accepted or are on their
    way. ``shifted``: seconds by which each worker's clock is
    wrong. ``ended_by_themselves``: workers that nobody killed."""

    calls: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    troubles: list[Trouble] = field(default_factory=list)
    accepted: dict[str, float] = field(default_factory=dict)
    unknown: list[Submission] = field(default_factory=list)
    duplicates_told: int = 0
    submissions: int = 0
    submitted: int = 0
    shifted: dict[str, int] = field(default_factory=dict)
    ended_by_themselves: list[str] = field(default_factory=list)

    def of(self, *names: str) -> Iterator[Trouble]:
        return (trouble for trouble in self.troubles if trouble.of in names)

    def counted(self) -> Mapping[Kind, int]:
        return {kind: sum(trouble.kind is kind for trouble in self.troubles) for kind in Kind}
