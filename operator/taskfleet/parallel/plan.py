"""A parallel queue made ready to run: its templates read, and what each step does for an item."""

from collections.abc import Mapping, Sequence
from typing import Any

from taskfleet.api.fielderrors import field_name
from taskfleet.api.parallelqueue import MAX_INNER, Call, InnerLoop, ParallelQueueSpec
from taskfleet.api.pipelinerules import auto, is_loop
from taskfleet.api.taskreader import TaskReader
from taskfleet.core.errors import InputError
from taskfleet.core.parallel.rules import Rules, StepRule
from taskfleet.parallel.asking import ByTasks, Question, ask
from taskfleet.parallel.condition import Condition
from taskfleet.parallel.ending import Ending
from taskfleet.parallel.field import Field, Naming
from taskfleet.parallel.listing import listing
from taskfleet.parallel.manners import Manners
from taskfleet.parallel.openitem import OpenItem
from taskfleet.parallel.stepplan import StepPlan
from taskfleet.parallel.templates import Compiled, Names, expression, template


class LoopPlan:
    """What is done with each of many items: those of the queue, or those of a loop inside an item. ``on``: the field
    that says what these are."""

    def __init__(
        self,
        spec: ParallelQueueSpec,
        loop: ParallelQueueSpec | InnerLoop,
        steps: Sequence[Call],
        field: Field,
        manners: Manners,
    ) -> None:
        self.on = field.at("on")
        self.steps: list[StepPlan | LoopStepPlan] = [
            (LoopStepPlan(spec, step, at, manners) if is_loop(step) else StepPlan(spec, step, at, manners))
            for at, step in ((field.at("actionLoop", number), step) for number, step in enumerate(steps))
        ]
        self.again = Condition.read(loop.while_, field.at("while"), spec.model, manners)
        rules = tuple(StepRule(step.on_error, step.retry.max_attempts) for step in steps)
        self.rules = Rules(rules, loop.max_parallel, self.again is not None)
        self._item_name = f"${loop.as_}" if loop.as_ is not None else None

    def names(self, outside: Names, item: OpenItem) -> dict[str, Any]:
        """What templates know of an item, and of what is around it."""
        found = {**outside, **item.names()}
        if self._item_name is not None:
            found[self._item_name] = item.value
        return found

    def check(self, reader: TaskReader) -> None:
        """Raise InputError when the queue does not take such tasks."""
        for step in self.steps:
            step.check(reader)


class LoopStepPlan:
    """A step that is a loop: ``opening`` says over what. ``loop`` is what is done with each of its items."""

    delay = 0.0

    def __init__(self, spec: ParallelQueueSpec, step: InnerLoop, field: Field, manners: Manners) -> None:
        assert step.on is not None and step.action_loop is not None
        self.name = step.name
        self.timeout = step.timeout.seconds if step.timeout is not None else None
        self.loop = LoopPlan(spec, step, step.action_loop, field, manners)
        self.ending = Ending(expression(step.until), field.at("until"), step.on_until) if step.until else None
        self._field = self.loop.on
        self._model = spec.model
        self._manners = manners
        self._condition = Condition.read(step.condition, field.at("if"), self._model, manners)
        self._asked = auto(step.on) if isinstance(step.on, str) else None
        self._on: Any = step.on
        if isinstance(step.on, str):
            self._on = expression(step.on) if self._asked is None else template(self._asked)

    def check(self, reader: TaskReader) -> None:
        self.loop.check(reader)

    def opening(self, names: Names, known: Mapping[str, Any], attempt: int) -> ByTasks[list[Any] | None]:
        """Its items; None where its condition does not hold. Raises InputError, NoAnswer."""
        if attempt == 0 and self._condition is not None and not (yield from self._condition.holds(names, known)):
            return None
        found = self._on.render(names, self._field) if isinstance(self._on, Compiled) else self._on
        if self._asked is not None:
            form = listing(found, self._asked)
            found = yield from ask(Question(self._field, found, self._model), form, self._manners)
        if not isinstance(found, list):
            raise InputError(f"{self._field}: it is no list but {type(found).__name__}: {str(found)[:60]!r}")
        if len(found) > MAX_INNER:
            raise InputError(
                f"{self._field}: a loop inside an item goes over at most {MAX_INNER:,} items, and these are "
                f"{len(found):,}"
            )
        return found


class Plan(LoopPlan):
    """``inputs``: what templates know beside an item, of this queue and those before it. ``naming``: what errors call
    its fields. Raises InputError."""

    def __init__(self, spec: ParallelQueueSpec, inputs: Mapping[str, Any], naming: Naming = field_name) -> None:
        self.manners = Manners()
        field = Field(naming=naming)
        super().__init__(spec, spec, spec.action_loop, field, self.manners)
        self.spec = spec
        self.inputs = dict(inputs)
        self.until = Condition.read(spec.until, field.at("until"), spec.model, self.manners)
