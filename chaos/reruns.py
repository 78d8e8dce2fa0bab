"""What killed workers left behind: when each of their tasks was called again. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from chaos.history import HARNESS, LINGERS_SECONDS, STORE, Call, History, Kind, Trouble
from taskfleet.core.task import TaskView

GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Rerun:
    """``seconds`` from the kill to the next call; ``blocked`` of them nobody could have
    called: the store was down, or the worker that did call was in trouble itself. ``claim_lost``: a claim between the
    two reached no call, since whoever made it was hit in turn: a lease more. ``silence``: the longest time for which no
    worker was heard; leases hold for up to one more after it, where it is longer than half a lease."""

    task: str
    seconds: float
    blocked: float
    claim_lost: bool
    silence: float

    def is_late(self, lease: float) -> bool:
        """Later than a lease and two seconds, with no excuse."""
        spared = lease if self.silence > lease / 2 else 0.0
        allowed = lease + GRACE_SECONDS + self.blocked + spared
        return self.seconds > allowed and not self.claim_lost

    @property
    def is_undisturbed(self) -> bool:
        return self.blocked == 0 and self.silence == 0 and not self.claim_lost


def reruns(history: History, views: Mapping[str, TaskView | None]) -> Iterator[Rerun]:
    """One for each task that a worker had when it was killed and that was called again after that. (One that was not
    has no end, or another worker's result; other checks see to that.)"""
    kills = {trouble.of: trouble.began for trouble in history.troubles if trouble.kind is Kind.KILL}
    for task, calls in history.calls.items():
        for call, following in pairwise(calls):
            killed = kills.get(call.worker)
            if killed is not None and not call.fault and call.began <= killed < following.began:
                yield _rerun(history, task, killed, following, views.get(task))


def _rerun(history: History, task: str, killed: float, following: Call, view: TaskView | None) -> Rerun:
    troubles = history.of(STORE, HARNESS, following.worker)
    blocked = _together(_within(troubles, killed, following.began))
    silences = (each for each in history.of(STORE, HARNESS) if each.touches(killed, following.began))
    return Rerun(
        task,
        following.began - killed,
        blocked,
        claim_lost=view is not None and _lost_a_claim(history, view),
        silence=max((each.ended + LINGERS_SECONDS - each.began for each in silences), default=0.0),
    )


def _lost_a_claim(history: History, view: TaskView) -> bool:
    """The store saw a claim whose answer reached nobody; or counted more attempts than there were calls."""
    good_calls = sum(not call.fault for call in history.calls[view.id])
    noted = any(attempt.error is not None and attempt.error.code == "claim_lost" for attempt in view.history)
    return noted or view.attempts > good_calls


def _within(troubles: Iterable[Trouble], since: float, until: float) -> list[tuple[float, float]]:
    clipped = ((max(trouble.began, since), min(trouble.ended, until)) for trouble in troubles)
    return sorted((began, ended) for began, ended in clipped if began < ended)


def _together(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds that are in at least one of the spans, which come in order."""
    total, covered = 0.0, 0.0
    for began, ended in spans:
        total += max(0.0, ended - max(began, covered))
        covered = max(covered, ended)
    return total
