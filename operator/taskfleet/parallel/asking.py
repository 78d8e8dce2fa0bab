"""Asks a model for a value of a form, and lets it mend an answer that is none, twice.

What is done by tasks is written as a generator: it yields the fields of a task and is sent how that ended, or is thrown
the InputError for which they make none. Whoever drives it may die: the next one begins the generator again, and tasks
that have ended are found so.
"""

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from taskfleet.core.errors import InputError
from taskfleet.core.parallel.moves import Outcome
from taskfleet.core.task import TaskState, TaskView
from taskfleet.parallel.field import Field
from taskfleet.parallel.manners import Form, Manners

T = TypeVar("T")
TaskFields = dict[str, Any]
ByTasks = Generator[TaskFields, TaskView, T]

TRIES = 3
MOST_TASKS = TRIES + 4  # a server may refuse all that ``Manners`` has
_SHOWN = 200  # characters of an answer that is to be mended: what runs on for ever leaves no room for another one
CANCELLED = "its task was cancelled"
_FIELD = re.compile(r"\w+([.\[]\w+\]?)*")
_REFUSED = (400, 422)  # of HTTP: how servers answer to what they do not know


class NoAnswer(Exception):
    """What a model was asked for is not to be had. The text says why; ``cancelled``: its task was."""

    def __init__(self, words: str, outcome: Outcome = Outcome.FAILED) -> None:
        super().__init__(words)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Question:
    """``where`` it is asked, for errors."""

    where: Field
    prompt: str
    model: str | None
    parameters: Mapping[str, Any] = field(default_factory=dict)


def call(fields: TaskFields, where: Field) -> ByTasks[TaskView]:
    """How a task of these fields ended. Raises InputError when they make none: it says of which part of ``where``."""
    try:
        return (yield fields)
    except InputError as error:  # of whoever drives this
        field, _, words = str(error).partition(": ")
        if not _FIELD.fullmatch(field):
            raise InputError(f"{where}: {error}") from None
        steps = (int(step) if step.isdecimal() else step for step in re.findall(r"\w+", field))
        raise InputError(f"{where.at(*steps)}: {words}") from None


def ask(question: Question, form: Form[T], manners: Manners) -> ByTasks[T]:
    """The value. Raises NoAnswer."""
    answer, why, tries = "", "", 0
    given_up: list[str] = []
    while tries < TRIES:
        words = _words(question, form, manners, answer, why)
        parameters = manners.parameters(form, question.parameters)
        view = yield from call({**words, "model": question.model, "parameters": parameters}, question.where)
        if view.state is not TaskState.COMPLETED:
            refused = view.error is not None and view.error.status in _REFUSED
            what = manners.give_up(form, question.parameters, words_of(view)) if refused else None
            if what is None:
                for name in given_up if refused else ():  # it is not that which the server does not take
                    setattr(manners, name, True)
                raise NoAnswer(f"{question.where}: the model gave no answer: {words_of(view)}", outcome_of(view))
            given_up.append(what)
            continue
        tries += 1
        given_up, answer = [], _said(view.output)
        try:
            return form.read(_json(answer))
        except ValueError as error:
            why = str(error)
            if manners.calls(form) and isinstance(view.output, str):  # it knows of no functions, and does not say so
                manners.functions = False
            form = (form.after(answer) if form.after is not None else None) or form
    raise NoAnswer(
        f"{question.where}: the model's answers cannot be used, and it was told so: {why}; "
        f"the last one: {answer[:200]!r}"
    )


def _words(question: Question, form: Form[Any], manners: Manners, answer: str, why: str) -> TaskFields:
    prompt = question.prompt
    if why:
        prompt += f"\n\nYou answered:\n{answer[:_SHOWN]}\n\nThat cannot be used: {why}."
    if manners.calls(form):
        return {"prompt": prompt}
    if not form.examples:
        return {"prompt": f"{prompt}\n\n{form.words}"}
    said = [("system", form.words)]
    for asked, answered in form.examples:
        said += [("user", asked), ("assistant", answered)]
    return {"messages": [{"role": role, "content": text} for role, text in (*said, ("user", prompt))]}


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
