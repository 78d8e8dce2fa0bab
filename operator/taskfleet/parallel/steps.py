"""Has the steps and judgements of a loop's items done: as errands, or as loops inside."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from taskfleet.core.parallel.moves import At, Outcome, RoundJudged, StepEnded, StepTimedOut, Stop
from taskfleet.core.parallel.rules import OnUntil, RunState
from taskfleet.core.quantities import format_duration
from taskfleet.parallel.asking import ByTasks
from taskfleet.parallel.errands import Errand
from taskfleet.parallel.innerloop import InnerLoop
from taskfleet.parallel.items import ItemList
from taskfleet.parallel.means import ALoop, Means
from taskfleet.parallel.openitem import OpenItem
from taskfleet.parallel.place import step_key
from taskfleet.parallel.plan import LoopPlan, LoopStepPlan
from taskfleet.parallel.stepresult import StepResult, not_done, skipped
from taskfleet.parallel.templates import Names

OpenLoop = Callable[[LoopPlan, InnerLoop, ItemList, Names, str, str], ALoop]


class Steps:
    """Of one loop. ``open_loop`` makes one inside: of a plan, its owner, source, names, key and path."""

    def __init__(
        self, loop: ALoop, means: Means, plan: LoopPlan, outside: Names, path: str, open_loop: OpenLoop
    ) -> None:
        self._loop = loop
        self._means = means
        self._plan = plan
        self._outside = outside
        self._path = path
        self._open_loop = open_loop
        self._errands: dict[int, Errand] = {}
        self._loops: dict[int, InnerLoop] = {}

    def run(self, index: int, at: At, *, cancelled: bool = False) -> None:
        item, step = self._loop.items[index], self._plan.steps[at.step]
        again = item.at == at and item.step_began > 0
        if at.step == 0 and at.attempt == 0 and not again:
            item.results = {}
        item.at, item.step_began = at, item.step_began if again else time.time()
        self._means.journal.moved(item.key, item)
        if step.timeout is not None:
            timed_out = (self._loop, StepTimedOut(index, at))
            self._means.timers.step(item.step_began + step.timeout, partial(self._means.events.append, timed_out))
        names, delay = self._plan.names(self._outside, item), step.delay if at.attempt else 0.0
        if not isinstance(step, LoopStepPlan):
            work = step.work(names, item.results, at.attempt)
            self._begin(item, work, partial(self._step_done, index, at), delay, cancelled=cancelled)
        elif (entry := self._means.written.loop(step_key(item.key, at))) is not None:
            self._go_round(index, at, entry["items"], _stop(entry["stop"]), cancelled=cancelled)
        else:
            opening = step.opening(names, item.results, at.attempt)
            self._begin(item, opening, partial(self._opened, index, at), delay, cancelled=cancelled)

    def _begin(
        self,
        item: OpenItem,
        work: ByTasks[Any],
        ended: Callable[[Errand], None],
        delay: float = 0.0,
        *,
        cancelled: bool = False,
    ) -> None:
        errand = Errand(f"{self._means.nonce}-{step_key(item.key, item.at)}", work, ended, delay, cancelled)
        self._errands[item.index] = errand
        self._means.errands.begin(errand)

    def _opened(self, index: int, at: At, errand: Errand) -> None:
        """The items of a step that is a loop are known."""
        if errand.outcome is Outcome.OK and errand.value is not None and not errand.cancelled:
            self._means.journal.used(errand.used)
            del self._errands[index]
            self._go_round(index, at, errand.value, None)
            return
        if errand.outcome is Outcome.OK:
            errand.value = skipped(), Outcome.CANCELLED if errand.cancelled else Outcome.SKIPPED
        self._step_done(index, at, errand)

    def _go_round(self, index: int, at: At, values: list[Any], stop: Stop | None, *, cancelled: bool = False) -> None:
        item, step = self._loop.items[index], self._plan.steps[at.step]
        assert isinstance(step, LoopStepPlan)
        if cancelled and stop is None:
            stop = Stop(RunState.CANCELLED, "", OnUntil.CANCEL)
        key, last = step_key(item.key, at), step.loop.steps[-1].name
        done = partial(self._loop_done, index, at)
        names = self._plan.names(self._outside, item)
        names["$items"] = values
        until = partial(step.ending.stop, names) if step.ending is not None else None
        inner = self._loops[index] = InnerLoop(self._means, key, values, stop, last, done, until)
        path = f"{self._path}{step.name}."
        inner.begin(self._open_loop(step.loop, inner, ItemList(values), names, key, path))

    def _loop_done(self, index: int, at: At, result: StepResult, outcome: Outcome) -> None:
        del self._loops[index]
        self._count(index, at, result, outcome, retryable=True)

    def _step_done(self, index: int, at: At, errand: Errand) -> None:
        if self._errands.get(index) is errand:
            del self._errands[index]
        if index not in self._loop.items or self._loop.items[index].at != at:
            return  # it was cancelled when it had just ended
        if errand.outcome is Outcome.OK:
            result, outcome = errand.value
            if errand.late and outcome not in (Outcome.OK, Outcome.SKIPPED):
                result["error"] = errand.late
        else:
            assert errand.outcome is not None
            result, outcome = not_done(errand.error), errand.outcome
        self._means.journal.used(errand.used)
        self._count(index, at, result, outcome, retryable=errand.retryable)

    def _count(self, index: int, at: At, result: StepResult, outcome: Outcome, *, retryable: bool) -> None:
        item, name = self._loop.items[index], self._plan.steps[at.step].name
        item.results[name] = result
        self._means.journal.moved(item.key, item)
        self._means.tally.step_ended(f"{self._path}{name}", outcome.value)
        self._means.events.append((self._loop, StepEnded(index, at, outcome, result["error"] or "", retryable)))

    def judge(self, index: int, at: At, *, cancelled: bool = False) -> None:
        item, again = self._loop.items[index], self._plan.again
        assert again is not None
        item.at = at
        self._means.journal.moved(item.key, item)
        names = self._plan.names(self._outside, item) | {"$iteration": at.round + 1}
        self._begin(item, again.holds(names, item.results), partial(self._judged, index), cancelled=cancelled)

    def _judged(self, index: int, errand: Errand) -> None:
        if self._errands.get(index) is errand:
            del self._errands[index]
        self._means.journal.used(errand.used)
        error = errand.error if errand.outcome is Outcome.FAILED else ""
        self._means.events.append((self._loop, RoundJudged(index, bool(errand.value), error)))

    def cancel(self, index: int, at: At) -> None:
        stop, timeout = self._loop.machine.stop, None
        if stop is None:
            timeout = self._plan.steps[at.step].timeout
        late = f"timeout: it was not done within {format_duration(timeout)}" if timeout is not None else ""
        if index in self._loops:
            self._loops[index].end(Stop(RunState.CANCELLED, late or (stop.reason if stop else ""), OnUntil.CANCEL))
        elif index in self._errands:
            self._means.errands.cancel(self._errands[index], late)
        elif at.step < len(self._plan.steps):  # an earlier coordinator began it
            self.run(index, at, cancelled=True)
        else:
            self.judge(index, at, cancelled=True)


def _stop(fields: Any) -> Stop | None:
    return None if fields is None else Stop(RunState(fields[0]), fields[1], OnUntil(fields[2]))
