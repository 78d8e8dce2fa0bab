"""Asks a model for a value of a form, and lets it mend an answer that is none, twice.

What is done by tasks is written as a generator: it yields the fields of a task and is sent how that ended. Whoever
drives it may die: the next one begins the generator again, and tasks that have ended are found so.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson

from taskfleet.core.parallel.moves import Outcome
from taskfleet.core.task import TaskState, TaskView

T = TypeVar("T")
TaskFields = Mapping[str, Any]
ByTasks = Generator[TaskFields, TaskView, T]

TRIES = 3
MOST_TASKS = TRIES + 2  # a server may refuse functions, and schemas
_SHOWN = 1000  # characters of an answer that is to be mended
CANCELLED = "its task was cancelled"
_REFUSED = (400, 422)  # of HTTP: how servers answer to what they do not know


class NoAnswer(Exception):
    """What a model was asked for is not to be had. The text says why; ``cancelled``: its task was."""

    def __init__(self, words: str, outcome: Outcome = Outcome.FAILED) -> None:
        super().__init__(words)
        self.outcome = outcome


@dataclass(slots=True)
class Manners:
    """What servers were seen to refuse in this run, so that they are not asked so again."""

    functions: bool = True
    schemas: bool = True


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """``words`` tell the model how to answer, ``schema`` is that of a JSON object; ``read`` raises ValueError with what
    is wrong. ``function``: the name and purpose of what the model is to call, whose arguments are the answer."""

    name: str
    words: str
    schema: Mapping[str, Any]
    read: Callable[[Any], T]
    function: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """``where`` it is asked: the field, for errors."""

    where: str
    prompt: str
    model: str | None
    parameters: Mapping[str, Any] = field(default_factory=dict)


def ask(question: Question, form: Form[T], manners: Manners) -> ByTasks[T]:
    """The value. Raises NoAnswer."""
    answer, why, tries = "", "", 0
    while tries < TRIES:
        function = form.function is not None and manners.functions
        prompt = question.prompt
        if why:
            prompt += f"\n\nYou answered:\n{answer[:_SHOWN]}\n\nThat cannot be used: {why}."
        if not function:
            prompt += f"\n\n{form.words}"
        shape = _function(form) if function else _schema(form) if manners.schemas else {}
        view = yield {"prompt": prompt, "model": question.model, "parameters": {**question.parameters, **shape}}
        if view.state is not TaskState.COMPLETED:
            if not (shape and view.error is not None and view.error.status in _REFUSED):
                raise NoAnswer(f"{question.where}: the model gave no answer: {words_of(view)}", outcome_of(view))
            if function:
                manners.functions = False
            else:
                manners.schemas = False
            continue
        tries += 1
        answer = _said(view.output)
        try:
            return form.read(_json(answer))
        except ValueError as error:
            why = str(error)
            if function and isinstance(view.output, str):  # it knows of no functions, and does not say so
                manners.functions = False
    raise NoAnswer(
        f"{question.where}: the model's answers cannot be used, and it was told so: {why}; "
        f"the last one: {answer[:200]!r}"
    )


def outcome_of(view: TaskView) -> Outcome:
    match view.state:
        case TaskState.COMPLETED:
            return Outcome.OK
        case TaskState.CANCELLED:
            return Outcome.CANCELLED
        case _:
            return Outcome.FAILED


def words_of(view: TaskView) -> str:
    """Why a task did not complete."""
    if view.state is TaskState.CANCELLED:
        return CANCELLED
    return f"{view.error.code}: {view.error.message}" if view.error else view.state.value


def _function(form: Form[T]) -> dict[str, Any]:
    assert form.function is not None
    name, purpose = form.function
    function = {"name": name, "description": purpose, "parameters": form.schema}
    return {
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": name}},
    }


def _schema(form: Form[T]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": form.name, "schema": form.schema}}}


def _said(output: Any) -> str:
    """The arguments of a call, or else what was said."""
    if isinstance(output, str):
        return output
    match output:
        case {"tool_calls": [{"function": {"arguments": str(arguments)}}, *_]}:
            return arguments
        case {"content": str(content)}:
            return content
    return orjson.dumps(output).decode()


def _json(answer: str) -> Any:
    text = answer.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text[3:-3].removeprefix("json").strip()
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error.msg})") from None
