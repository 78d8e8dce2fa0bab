"""The coordinator of a parallel queue as a state machine: an event in, commands out. It does nothing itself.

It knows where each open item is and nothing of what steps ask or answer. At most ``max_parallel`` items are open. An
open item waits for one thing: a step, or a judgement. Each command is given once; a machine that begins where another
one was gives those again that were not seen to be done.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
from taskfleet.core.parallel.rules import MAX_ROUNDS, ItemStatus, OnError, OnUntil, Rules, RunState


@dataclass(slots=True)
class _Open:
    at: At
    timed_out: bool = False


class Machine:
    """``next_index`` is that of the item that comes next; ``stop`` is set when the run is to end early."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._open: dict[int, _Open] = {}
        self.next_index = 0
        self.source_ended = False
        self.stop: Stop | None = None
        self._ended = False

    def begin(
        self,
        open_items: Mapping[int, At] | None = None,
        next_index: int = 0,
        *,
        source_ended: bool = False,
        stop: Stop | None = None,
    ) -> list[Command]:
        """The first commands: of a new run, or of one that goes on where its last coordinator was last seen."""
        self._open = {index: _Open(at) for index, at in sorted((open_items or {}).items())}
        self.next_index, self.source_ended = next_index, source_ended
        if stop is not None and stop.running is OnUntil.CANCEL:
            return self.handle(stop)
        commands = [self._continue(index, item) for index, item in self._open.items()]
        return commands + (self._next() if stop is None else self.handle(stop))

    @property
    def open(self) -> int:
        return len(self._open)

    def at(self, index: int) -> At | None:
        """Where an open item is; None when it is not open."""
        item = self._open.get(index)
        return None if item is None else item.at

    def handle(self, event: Event) -> list[Command]:
        """What is to be done now. An event that comes too late (again, or of a step that is over) changes nothing."""
        match event:
            case ItemCame():
                commands = self._admit()
            case SourceEnded(error):
                commands = self._end_of_source(error)
            case StepEnded():
                commands = self._step_ended(event)
            case StepTimedOut(index, at):
                commands = self._time_out(index, at)
            case RoundJudged():
                commands = self._judged(event)
            case Stop():
                commands = self._begin_to_stop(event)
        return commands + self._next()

    def _admit(self) -> list[Command]:
        index, self.next_index = self.next_index, self.next_index + 1
        if self.stop is not None:  # it was on its way when the run was told to end
            return [EndItem(index, ItemStatus.CANCELLED, self.stop.reason)]
        item = self._open[index] = _Open(At())
        return [Run(index, item.at)]

    def _end_of_source(self, error: str) -> list[Command]:
        self.source_ended = True
        return self._begin_to_stop(Stop(RunState.FAILED, error, OnUntil.FINISH)) if error else []

    def _step_ended(self, event: StepEnded) -> list[Command]:
        item = self._open.get(event.index)
        if item is None or item.at != event.at:
            return []
        outcome, error = event.outcome, event.error
        if item.timed_out and outcome is Outcome.CANCELLED:
            outcome = Outcome.FAILED
        item.timed_out = False
        rule = self._rules.steps[item.at.step]
        match outcome:
            case Outcome.OK | Outcome.SKIPPED:
                return self._go_on(event.index, item)
            case Outcome.CANCELLED if self.stop is not None:
                return self._end(event.index, ItemStatus.CANCELLED, self.stop.reason)
            case Outcome.FAILED if event.retryable and self.stop is None and item.at.attempt + 1 < rule.attempts:
                item.at = replace(item.at, attempt=item.at.attempt + 1)
                return [Run(event.index, item.at)]
            case _ if rule.on_error is OnError.CONTINUE:
                return self._go_on(event.index, item)
            case _:
                commands = self._end(event.index, ItemStatus.FAILED, error)
                if rule.on_error is OnError.STOP:
                    reason = f"item {event.index} failed: {error}"
                    commands += self._begin_to_stop(Stop(RunState.FAILED, reason, OnUntil.CANCEL))
                return commands

    def _go_on(self, index: int, item: _Open) -> list[Command]:
        """The next step, the end of the round, or the end of the item."""
        if item.at.step + 1 < len(self._rules.steps):
            if self.stop is not None:
                return self._end(index, ItemStatus.CANCELLED, self.stop.reason)
            item.at = At(item.at.round, item.at.step + 1)
            return [Run(index, item.at)]
        if self._rules.has_while and self.stop is None:
            item.at = At(item.at.round, item.at.step + 1)
            return [self._continue(index, item)]
        return self._end(index, ItemStatus.COMPLETED)

    def _is_judged(self, item: _Open) -> bool:
        return item.at.step == len(self._rules.steps)

    def _continue(self, index: int, item: _Open) -> Command:
        return Judge(index, item.at) if self._is_judged(item) else Run(index, item.at)

    def _judged(self, event: RoundJudged) -> list[Command]:
        item = self._open.get(event.index)
        if item is None or not self._is_judged(item):
            return []
        if event.error:
            return self._end(event.index, ItemStatus.FAILED, event.error)
        if not event.again or self.stop is not None:
            return self._end(event.index, ItemStatus.COMPLETED)
        if item.at.round + 1 >= MAX_ROUNDS:
            reason = f"while: it still holds after {MAX_ROUNDS} rounds"
            return self._end(event.index, ItemStatus.FAILED, reason)
        item.at = At(item.at.round + 1)
        return [Run(event.index, item.at)]

    def _time_out(self, index: int, at: At) -> list[Command]:
        item = self._open.get(index)
        if item is None or item.at != at or item.timed_out:
            return []
        item.timed_out = True
        return [CancelStep(index, at)]

    def _begin_to_stop(self, stop: Stop) -> list[Command]:
        """The first reason to end counts; a later one may only turn waiting for what runs into ending it."""
        before = self.stop
        if before is None:
            self.stop = stop
        elif before.running is OnUntil.FINISH and stop.running is OnUntil.CANCEL:
            self.stop = replace(before, running=OnUntil.CANCEL)
        else:
            return []
        return [
            CancelStep(index, item.at)
            for index, item in self._open.items()
            if stop.running is OnUntil.CANCEL or (before is None and self._is_judged(item))  # no round follows
        ]

    def _end(self, index: int, status: ItemStatus, reason: str = "") -> list[Command]:
        del self._open[index]
        return [EndItem(index, status, reason)]

    def _next(self) -> list[Command]:
        if self._ended:
            return []
        if self.stop is None and not self.source_ended:
            room = self._rules.max_parallel - len(self._open)
            return [Take(room)] if room else []
        if self._open:
            return []
        self._ended = True
        if self.stop is not None:
            return [EndRun(self.stop.state, self.stop.reason)]
        return [EndRun(RunState.COMPLETED)]
