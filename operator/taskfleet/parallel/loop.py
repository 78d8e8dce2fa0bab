"""One loop over items on its way: asks its machine what follows, and has it done. What runs at once is in memory."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from taskfleet.core.errors import DatasetError
from taskfleet.core.parallel.machine import Machine
from taskfleet.core.parallel.moves import (
    At,
    CancelStep,
    Command,
    EndItem,
    EndRun,
    Event,
    ItemCame,
    Judge,
    Outcome,
    RoundJudged,
    Run,
    SourceEnded,
    StepEnded,
    StepTimedOut,
    Stop,
    Take,
)
from taskfleet.core.parallel.rules import OnUntil, RunState
from taskfleet.core.quantities import format_duration
from taskfleet.parallel.asking import ByTasks
from taskfleet.parallel.errands import Errand
from taskfleet.parallel.innerloop import InnerLoop
from taskfleet.parallel.items import Fetch, Given, ItemList, Source
from taskfleet.parallel.means import Means, Owner, Progress
from taskfleet.parallel.openitem import OpenItem
from taskfleet.parallel.place import item_key, step_key
from taskfleet.parallel.plan import LoopPlan, LoopStepPlan
from taskfleet.parallel.stepresult import StepResult, not_done, skipped
from taskfleet.parallel.templates import Names


class Loop:
    """``key`` and ``path`` are where it is and what it is called, "" for that of the queue; ``outside`` are the names
    that its templates know of what is around it."""

    def __init__(
        self,
        means: Means,
        plan: LoopPlan,
        owner: Owner,
        progress: Progress,
        source: Source,
        outside: Names,
        key: str = "",
        path: str = "",
    ) -> None:
        self.items: dict[int, OpenItem] = {}
        self.machine = Machine(plan.rules)
        self._means = means
        self._plan = plan
        self._owner = owner
        self._progress = progress
        self._source = source
        self._outside = outside
        self._key = key
        self._path = path
        self._coming: Iterator[Given] | None = None
        self._room = 0
        self._errands: dict[int, Errand] = {}
        self._loops: dict[int, InnerLoop] = {}

    def begin(self, items: dict[int, OpenItem]) -> None:
        """From where its items are."""
        self.items, progress = items, self._progress
        where = {index: item.at for index, item in items.items()}
        self._obey(self.machine.begin(where, progress.taken, source_ended=progress.source_ended, stop=progress.stop))

    def handle(self, event: Event) -> None:
        self._obey(self.machine.handle(event))

    async def take(self, most: int) -> int:
        """Bring items as long as there is room for them, up to a number; how many came."""
        taken = 0
        while self._room and taken < most and self.machine.stop is None:
            try:
                given = self._next()
            except DatasetError as error:
                self._room = 0
                self.handle(SourceEnded(str(error)))
                continue
            if isinstance(given, Fetch):
                await given.bring()
                continue
            self._room = 0  # the machine says anew how much there is
            taken += given is not None
            self.handle(SourceEnded() if given is None else self._came(*given))
        if not self._room or self.machine.stop is not None:
            self._means.hungry.pop(self, None)
        return taken

    def _next(self) -> Given | None:
        if self._coming is None:
            self._coming = self._source.items(self._progress.cursor)
        given = next(self._coming, None)
        if given is None:
            self._progress.source_ended = True
            self._progress.total = self._progress.taken
        return given

    def _came(self, value: Any, cursor: Any) -> ItemCame:
        index = self._progress.taken
        self._progress.taken, self._progress.cursor = index + 1, cursor
        self.items[index] = OpenItem(item_key(self._key, index), index, value, time.time())
        return ItemCame()

    # Commands

    def _obey(self, commands: list[Command]) -> None:
        if self._progress.stop is not self.machine.stop:
            self._progress.stop = self.machine.stop
            self._owner.stopped()
        for command in commands:
            match command:
                case Run(index, at):
                    self._run_step(index, at)
                case Take(count):
                    self._room = count
                    self._means.hungry[self] = None
                case EndItem(index):
                    self._owner.item_ended(self.items.pop(index), command)
                case Judge(index, at):
                    self._judge(index, at)
                case CancelStep(index, at):
                    self._cancel(index, at)
                case EndRun():
                    self._owner.loop_ended(command)

    def _run_step(self, index: int, at: At, *, cancelled: bool = False) -> None:
        item, step = self.items[index], self._plan.steps[at.step]
        again = item.at == at and item.step_began > 0
        if at.step == 0 and at.attempt == 0 and not again:
            item.results = {}
        item.at, item.step_began = at, item.step_began if again else time.time()
        self._means.journal.moved(item.key, item)
        if step.timeout is not None:
            timed_out = (self, StepTimedOut(index, at))
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
        item, step = self.items[index], self._plan.steps[at.step]
        assert isinstance(step, LoopStepPlan)
        if cancelled and stop is None:
            stop = Stop(RunState.CANCELLED, "", OnUntil.CANCEL)
        key, last = step_key(item.key, at), step.loop.steps[-1].name
        done = partial(self._loop_done, index, at)
        inner = self._loops[index] = InnerLoop(self._means, key, values, stop, last, done)
        names = self._plan.names(self._outside, item)
        names["$items"] = values
        path = f"{self._path}{step.name}."
        inner.begin(Loop(self._means, step.loop, inner, inner, ItemList(values), names, key, path))

    def _loop_done(self, index: int, at: At, result: StepResult, outcome: Outcome) -> None:
        del self._loops[index]
        self._count(index, at, result, outcome, retryable=True)

    def _step_done(self, index: int, at: At, errand: Errand) -> None:
        if self._errands.get(index) is errand:
            del self._errands[index]
        if index not in self.items or self.items[index].at != at:
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
        item, name = self.items[index], self._plan.steps[at.step].name
        item.results[name] = result
        self._means.journal.moved(item.key, item)
        self._means.tally.step_ended(f"{self._path}{name}", outcome.value)
        self._means.events.append((self, StepEnded(index, at, outcome, result["error"] or "", retryable)))

    def _judge(self, index: int, at: At, *, cancelled: bool = False) -> None:
        item, again = self.items[index], self._plan.again
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
        self._means.events.append((self, RoundJudged(index, bool(errand.value), error)))

    def _cancel(self, index: int, at: At) -> None:
        stop, timeout = self.machine.stop, None
        if stop is None:
            timeout = self._plan.steps[at.step].timeout
        late = f"timeout: it was not done within {format_duration(timeout)}" if timeout is not None else ""
        if index in self._loops:
            self._loops[index].end(Stop(RunState.CANCELLED, late or (stop.reason if stop else ""), OnUntil.CANCEL))
        elif index in self._errands:
            self._means.errands.cancel(self._errands[index], late)
        elif at.step < len(self._plan.steps):  # an earlier coordinator began it
            self._run_step(index, at, cancelled=True)
        else:
            self._judge(index, at, cancelled=True)


def _stop(fields: Any) -> Stop | None:
    return None if fields is None else Stop(RunState(fields[0]), fields[1], OnUntil(fields[2]))
