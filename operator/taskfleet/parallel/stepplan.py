"""One step made ready to run: its templates read, and what it does for an item as a generator of tasks."""

from collections.abc import Mapping
from typing import Any

from taskfleet.api.parallelqueue import Call, ParallelQueueSpec
from taskfleet.api.pipelinerules import auto, tool_of
from taskfleet.api.taskreader import TaskReader
from taskfleet.core.errors import InputError, InvalidTask
from taskfleet.core.parallel.moves import Outcome
from taskfleet.parallel.asking import ByTasks, Question, ask, call
from taskfleet.parallel.condition import Condition
from taskfleet.parallel.field import Field
from taskfleet.parallel.forms import arguments_form
from taskfleet.parallel.manners import Manners
from taskfleet.parallel.stepresult import StepResult, of_task, skipped
from taskfleet.parallel.templates import Compiled, Names, template, value

Ended = tuple[StepResult, Outcome]


class StepPlan:
    """A call, of a model or a tool. ``timeout`` is in seconds, None: it may take any time; ``delay`` too, before each
    attempt but the first."""

    def __init__(self, spec: ParallelQueueSpec, step: Call, field: Field, manners: Manners) -> None:
        self.name = step.name
        self.timeout = step.timeout.seconds if step.timeout is not None else None
        self.delay = step.retry.delay.seconds
        self._field = field
        self._model = step.model or spec.model
        self._manners = manners
        self._condition = Condition.read(step.condition, field.at("if"), self._model, manners)
        self._action = template(_without_auto(step.action)) if step.action is not None else None
        self._arguments = _read(step.arguments)
        self._tool = tool_of(spec, step)
        self._form = arguments_form(self._tool) if self._tool is not None and self._action is not None else None
        self._parameters = step.parameters
        asked = {"model": self._model, "parameters": step.parameters}
        self._asked = {name: value for name, value in asked.items() if value}

    def check(self, reader: TaskReader) -> None:
        """Raise InputError when the queue does not take such tasks."""
        asked = {"prompt": self.name, "model": self._model}
        try:
            if self._action is not None or (self._condition is not None and self._condition.asks):
                reader.build(asked)
            if self._tool is not None:
                reader.build({"tool": self._tool, "arguments": {}})
        except InvalidTask:
            return  # it wants arguments, which are known with an item
        except InputError as error:
            raise InputError(f"{self._field}: {error}") from None

    def work(self, names: Names, known: Mapping[str, Any], attempt: int) -> ByTasks[Ended]:
        """The step for an item, of which a model that judges is told what is ``known``. Raises InputError when it
        cannot be put into words, and NoAnswer."""
        if attempt == 0 and self._condition is not None and not (yield from self._condition.holds(names, known)):
            return skipped(), Outcome.SKIPPED
        if self._tool is None:
            assert self._action is not None
            field = self._field.at("action")
            prompt = self._action.render(names, field)
            if not prompt.strip():
                raise InputError(f"{field}: it is empty for this item; an if may skip the step")
            view = yield from call({"prompt": prompt, **self._asked}, self._field)
            return of_task(view, attempt, tool=False)
        if self._form is None:
            arguments = _rendered(self._arguments, names, self._field.at("arguments"))
            view = yield from call({"tool": self._tool, "arguments": arguments}, self._field)
            return of_task(view, attempt, tool=True)
        assert self._action is not None
        field = self._field.at("action")
        question = Question(field, self._action.render(names, field), self._model, self._parameters)
        arguments = yield from ask(question, self._form, self._manners)
        view = yield from call({"tool": self._tool, "arguments": arguments}, self._field)
        result, outcome = of_task(view, attempt, tool=True)
        result["arguments"] = arguments
        return result, outcome


def _without_auto(action: str) -> str:
    asked = auto(action)
    return action if asked is None else asked


def _read(argument: Any) -> Any:
    match argument:
        case str():
            return value(argument)
        case dict():
            return {name: _read(part) for name, part in argument.items()}
        case list():
            return [_read(part) for part in argument]
        case _:
            return argument


def _rendered(argument: Any, names: Names, field: Field) -> Any:
    match argument:
        case Compiled():
            return argument.render(names, field)
        case dict():
            return {name: _rendered(part, names, field.at(name)) for name, part in argument.items()}
        case list():
            return [_rendered(part, names, field.at(number)) for number, part in enumerate(argument)]
        case _:
            return argument
