"""A parallel queue made ready to run: its templates read, and each step of an item put into a task."""

from collections.abc import Mapping
from typing import Any

from taskfleet.api.parallelqueue import ParallelQueueSpec, Step
from taskfleet.api.pipelinerules import auto
from taskfleet.api.tasklines import TaskReader
from taskfleet.core.errors import InputError, InvalidTask
from taskfleet.core.parallel.moves import At
from taskfleet.core.parallel.rules import Rules, StepRule
from taskfleet.core.task import NewTask
from taskfleet.parallel.templates import Compiled, Names, expression, template, value


class StepPlan:
    """One step. ``timeout`` is in seconds, None: it may take any time."""

    def __init__(self, spec: ParallelQueueSpec, step: Step, number: int) -> None:
        self.name = step.name
        self.timeout = step.timeout.seconds if step.timeout is not None else None
        self._field = f"actionLoop[{number}]"
        self._delay = step.retry.delay.seconds
        self._condition = expression(step.condition) if step.condition is not None else None
        self._action = template(_without_auto(step.action)) if step.action is not None else None
        self._arguments = _read(step.arguments)
        self._tool = None if self._action is not None else step.tool or spec.tool
        self._model = step.model or spec.model
        self._parameters = step.parameters

    def check(self, reader: TaskReader) -> None:
        """Raise InputError when the queue does not take such tasks."""
        asked = {"prompt": self.name, "model": self._model}
        try:
            reader.build(asked if self._tool is None else {"tool": self._tool, "arguments": {}})
        except InvalidTask:
            return  # it wants arguments, which are known with an item
        except InputError as error:
            raise InputError(f"{self._field}: {error}") from None

    def is_wanted(self, names: Names) -> bool:
        """Whether its condition holds. Raises InputError."""
        return self._condition is None or bool(self._condition.render(names, f"{self._field}.if"))

    def task(self, reader: TaskReader, task_id: str, at: At, names: Names) -> NewTask:
        """The task for an item. Raises InputError when it cannot be put into words, or is none for this queue."""
        if self._action is not None:
            fields: dict[str, Any] = {
                "prompt": self._action.render(names, f"{self._field}.action"),
                "model": self._model,
                "parameters": self._parameters,
            }
        else:
            arguments = _rendered(self._arguments, names, f"{self._field}.arguments")
            fields = {"tool": self._tool, "arguments": arguments}
        try:
            task = reader.build({"id": task_id, **fields})
        except InputError as error:
            raise InputError(f"{self._field}: {error}") from None
        return NewTask(task.id, task.model, task.body, once=True, delay=self._delay if at.attempt else 0.0)


class Plan:
    """``inputs``: what templates know beside an item, of this queue and those before it. Raises InputError."""

    def __init__(self, spec: ParallelQueueSpec, inputs: Names) -> None:
        self.spec = spec
        self.inputs = dict(inputs)
        self.steps = [StepPlan(spec, step, number) for number, step in enumerate(spec.action_loop)]
        self.until = expression(spec.until) if spec.until is not None else None
        self._while = expression(spec.while_) if spec.while_ is not None else None

    @property
    def rules(self) -> Rules:
        steps = tuple(StepRule(step.on_error, step.retry.max_attempts) for step in self.spec.action_loop)
        return Rules(steps, self.spec.max_parallel, self._while is not None, self.spec.on_until)

    def goes_on(self, names: Names) -> bool:
        """Whether an item that has ``$iteration`` rounds behind it goes another one. Raises InputError."""
        assert self._while is not None
        return bool(self._while.render(names, "while"))


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


def _rendered(argument: Any, names: Mapping[str, Any], field: str) -> Any:
    match argument:
        case Compiled():
            return argument.render(names, field)
        case dict():
            return {name: _rendered(part, names, f"{field}.{name}") for name, part in argument.items()}
        case list():
            return [_rendered(part, names, f"{field}[{number}]") for number, part in enumerate(argument)]
        case _:
            return argument
