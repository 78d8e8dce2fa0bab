"""What must hold, whatever happened: each check finds the tasks that break one promise. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.history import HARNESS, STORE, Call, History
from chaos.reruns import Rerun
from taskfleet.core.task import TaskState, TaskView

POISON = "poison"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A run as it is to be judged. ``changed``: tasks whose result changed after it was seen; ``census``: what is wrong
    with the store's counters and sets, in words, "" for nothing; ``loses_power``: kills of the store took the last
    second of what it was told."""

    history: History
    views: Mapping[str, TaskView | None]
    reruns: Sequence[Rerun]
    changed: Sequence[str]
    census: str
    lease: float
    loses_power: bool

    def call_of(self, view: TaskView) -> Call | None:
        """The call that the result is of: its text is the call's number."""
        return next((call for call in self.history.calls[view.id] if str(call.number) == view.output), None)

    def store_forgot(self, since: float, until: float) -> bool:
        """Whether a power loss of the store can have had an effect between these moments."""
        return self.loses_power and any(trouble.touches(since, until) for trouble in self.history.of(STORE))


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what must be none, and the ids that it is not."""

    promise: str
    broken_by: Sequence[str]


Check = Callable[[Evidence], Iterable[str]]


def lost(evidence: Evidence) -> Iterable[str]:
    """Accepted, and not there. A power loss may take what was accepted in the second before it."""
    for name, at in evidence.history.accepted.items():
        if evidence.views.get(name) is None and not forgotten(evidence, at):
            yield name


def forgotten(evidence: Evidence, accepted_at: float) -> bool:
    """Whether it was accepted in a second that a power loss took."""
    return evidence.loses_power and any(
        trouble.began <= accepted_at <= trouble.ended for trouble in evidence.history.of(STORE)
    )


def unfinished(evidence: Evidence) -> Iterable[str]:
    return (name for name, view in evidence.views.items() if view is not None and not view.state.is_final)


def half_submitted(evidence: Evidence) -> Iterable[str]:
    """Of a submission whose outcome nobody heard, some tasks are there and some are not."""
    for submission in evidence.history.unknown:
        there = [name for name in submission.ids if evidence.views.get(name) is not None]
        if there and len(there) < len(submission.ids):
            yield f"{submission.ids[0]}: {len(there)} of {len(submission.ids)}"


def changed(evidence: Evidence) -> Iterable[str]:
    return evidence.changed


def of_no_lease(evidence: Evidence) -> Iterable[str]:
    """Completed by a call that did not hold the lease, or by none at all: a late worker got past the fence."""
    for view in evidence.views.values():
        if view is None or view.state is not TaskState.COMPLETED:
            continue
        call = evidence.call_of(view)
        if call is None or call.answered is None:
            yield f"{view.id}: no answered call has the text {view.output!r}"
        elif call.worker != view.worker and not evidence.store_forgot(call.began, call.answered):
            yield f"{view.id}: the call of {call.worker}, the lease of {view.worker}"


def failed(evidence: Evidence) -> Iterable[str]:
    """Ended otherwise than completed or set aside after two deaths: nothing here fails a task."""
    for view in evidence.views.values():
        is_poison = view is not None and view.error is not None and view.error.code == POISON
        if view is not None and view.state.is_final and view.state is not TaskState.COMPLETED and not is_poison:
            yield f"{view.id}: {view.state.value}, {view.error.code if view.error else 'no error'}"


def without_reason(evidence: Evidence) -> Iterable[str]:
    """Called again though the model had not refused it, and neither its worker nor its link nor the store was in
    trouble: those of the later call as well, for a worker that was frozen may call late what it claimed before."""
    for name, calls in evidence.history.calls.items():
        for call, following in pairwise(calls):
            workers = (call.worker, following.worker)
            if not call.fault and not _excuse(evidence, workers, call.began, following.began):
                yield f"{name}: {call.worker} {call.began:.2f}, again {following.worker} {following.began:.2f}"


def _excuse(evidence: Evidence, workers: Iterable[str], since: float, until: float) -> bool:
    """Whether one of the workers, the store or all links were in trouble then."""
    return any(trouble.touches(since, until) for trouble in evidence.history.of(STORE, HARNESS, *workers))


def late(evidence: Evidence) -> Iterable[str]:
    for rerun in evidence.reruns:
        if rerun.is_late(evidence.lease):
            yield f"{rerun.task}: {rerun.seconds:.2f} s"


def census(evidence: Evidence) -> Iterable[str]:
    return [evidence.census] if evidence.census else []


def ended_by_themselves(evidence: Evidence) -> Iterable[str]:
    return evidence.history.ended_by_themselves


def out_of_order(evidence: Evidence) -> Iterable[str]:
    """Of one session, and called before the one that came before it was answered for good."""
    sessions: dict[str, list[TaskView]] = {}
    for view in evidence.views.values():  # in the order in which they were submitted
        if view is not None and view.session is not None:
            sessions.setdefault(view.session, []).append(view)
    for earlier, later in (pair for views in sessions.values() for pair in pairwise(views)):
        last, calls = evidence.call_of(earlier), evidence.history.calls[later.id]
        if last is None or last.answered is None or not calls:
            continue  # set aside, or never begun: nothing was overtaken
        first = min(calls, key=lambda call: call.began)
        if first.began < last.answered and not evidence.store_forgot(first.began, last.answered):
            yield f"{later.id}: called {first.began:.2f}, {earlier.id} was answered {last.answered:.2f}"


# A new promise is one function over the evidence, and one line here.
CHECKS: Mapping[str, Check] = {
    "accepted tasks lost": lost,
    "accepted tasks without an end": unfinished,
    "submissions of which a part is there": half_submitted,
    "results that changed (settled twice)": changed,
    "results of a call without the lease": of_no_lease,
    "tasks failed": failed,
    "tasks of a session out of order": out_of_order,
    "tasks run again without a reason": without_reason,
    "reruns later than lease + 2 s": late,
    "counters that differ from their sets": census,
    "workers that ended by themselves": ended_by_themselves,
}


def judge(evidence: Evidence) -> list[Finding]:
    """All checks, in the order in which they are shown."""
    return [Finding(promise, list(check(evidence))) for promise, check in CHECKS.items()]
