"""From what a caller gives (a text, messages, a task's fields) to a task under the queue's rules."""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskfleet.api.taskreader import FIELDS, TaskReader
from taskfleet.core.errors import InputError, InvalidTask, TaskfleetError
from taskfleet.core.task import NewTask, Priority
from taskfleet.sdk.callers import RAISED, text_of, words_of
from taskfleet.sdk.given import plain

Question = str | Sequence[Mapping[str, Any]] | Mapping[str, Any]
"""A prompt, a conversation, or the fields of a task line."""

PromptFunction = Callable[[Any], Question]


def fields_of(question: object) -> dict[str, Any]:
    """The fields of a task line that say what is asked. Raises InvalidTask."""
    if isinstance(question, str):
        return {"prompt": question}
    if isinstance(question, Mapping):
        fields = dict(question)
        if isinstance(fields.get("priority"), Priority):
            fields["priority"] = fields["priority"].label
        return fields
    if isinstance(question, Sequence) and not isinstance(question, bytes):
        return {"messages": list(question)}
    raise InvalidTask(
        f"prompt: a {type(question).__name__} is no prompt; give a text, a list of messages, or a dict with prompt or "
        "messages"
    )


def make_task(reader: TaskReader, fields: dict[str, Any]) -> NewTask:
    """The task of these fields. Raises InvalidTask or UnknownModel, in words that name the field."""
    prompt = fields.get("prompt")
    for name, value in fields.items():
        # A text is checked where it is encoded, at once and without a walk.
        if not (name == "prompt" and isinstance(prompt, str) and prompt.isascii()):
            plain(name, value)
    return reader.build(fields)


class RowPrompts:
    """Asks the same of every row: by a template such as ``"Label this: {text}"``, by a function, or as the row says.

    A template is filled with the row's columns; a row that is a text or number is ``{}`` or ``{row}``. Without prompt
    the row is the question: a text, a conversation, or a dict with ``prompt`` or ``messages``.
    """

    def __init__(self, prompt: str | PromptFunction | None, common: Mapping[str, Any]) -> None:
        """``common``: fields of a task line that are the same for all rows. Raises InputError."""
        if isinstance(prompt, str) and not prompt:
            raise InputError('prompt: it is empty; give a template such as "Label this: {text}", or leave it out')
        if prompt is not None and not isinstance(prompt, str) and not callable(prompt):
            raise InputError(f"prompt: {prompt!r} is neither a template nor a function")
        if inspect.iscoroutinefunction(prompt):
            raise InputError("prompt: it is an async function; give a plain one, which returns the prompt of a row")
        self._prompt = prompt
        self._common = common

    @property
    def fingerprint(self) -> str:
        """Differs when something else is asked."""
        prompt = self._prompt
        asked = (
            prompt if isinstance(prompt, str | None) else f"function {getattr(prompt, '__qualname__', type(prompt))}"
        )
        same_answers = {name: value for name, value in self._common.items() if name != "priority"}
        text = json.dumps([asked, same_answers], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def task(self, reader: TaskReader, row: Any, task_id: str) -> NewTask:
        """The task of one row. Raises InvalidTask or UnknownModel."""
        return make_task(reader, {**self._asked(row), **self._common, "id": task_id})

    def _asked(self, row: Any) -> dict[str, Any]:
        if callable(self._prompt):
            return self._own(fields_of(self._called(self._prompt, row)))
        if self._prompt is not None:
            return {"prompt": self._filled(self._prompt, row)}
        if isinstance(row, Mapping):
            columns = {name: row[name] for name in ("prompt", "messages") if row.get(name) is not None}
            if not columns:
                raise InvalidTask(
                    f"prompt: the row has no column prompt or messages, only {', '.join(map(str, row))}; give a "
                    'template, prompt="... {COLUMN}", or a function'
                )
            return columns
        return fields_of(row)

    @staticmethod
    def _called(prompt: PromptFunction, row: Any) -> Question:
        try:
            return prompt(row)
        except TaskfleetError:
            raise
        except RAISED as error:
            raise InvalidTask(f"prompt: the function failed on this row: {words_of(error)}") from error

    @staticmethod
    def _own(fields: dict[str, Any]) -> dict[str, Any]:
        for name in ("id", "model", "priority"):
            if name in fields:
                raise InvalidTask(f"prompt: the function gives {name}; give it to process_dataset, for all rows")
        unknown = [name for name in fields if name not in FIELDS]
        if unknown:
            raise InvalidTask(f"prompt: the function gives {unknown[0]}; a task has only {', '.join(FIELDS)}")
        return fields

    @staticmethod
    def _filled(template: str, row: Any) -> str:
        columns = row if isinstance(row, Mapping) else {}
        braces = "write {{ and }} for braces that are text"
        try:
            return template.format(row, **{"row": row, **columns})
        except KeyError as error:
            there = ", ".join(map(str, columns)) or "only {row}"
            raise InvalidTask(
                f"prompt: the template names {{{error.args[0]}}}, and the row has {there}; {braces}"
            ) from None
        except RAISED as error:  # also of a row's own attributes
            raise InvalidTask(f"prompt: the template cannot be filled ({text_of(error)}); {braces}") from None
