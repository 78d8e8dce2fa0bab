"""What may be said of tasks and of a run over a dataset, by keyword: the same for both twins."""

from collections.abc import Mapping
from datetime import datetime
from os import PathLike
from typing import Any, Literal, TypedDict

from taskfleet.core.errors import InputError
from taskfleet.core.task import Priority
from taskfleet.sdk import given
from taskfleet.sdk.prompts import PromptFunction
from taskfleet.sdk.results import ASKED_MODEL

PriorityLike = Priority | Literal["critical", "high", "normal", "low"]


class TaskOptions(TypedDict, total=False):
    """Of a task, or of every task of a batch."""

    model: str | None
    """A name, alias, tag or word such as ``fast``; None is the queue's default."""
    priority: PriorityLike
    parameters: Mapping[str, Any] | None
    """``temperature``, ``max_tokens``, ...: passed on to the model server."""
    metadata: Mapping[str, Any] | None
    """Comes back with the result."""
    delay: float | None
    """Seconds before it may run."""
    deadline: datetime | None
    """A moment with its zone, after which it is not begun."""
    stream: bool
    """Its answer can be read piece by piece: see ``events``."""
    tenant: str | None
    """Whose task it is, where several share the queue."""
    session: str | None
    """Tasks of one session run one after another, in the order in which they were submitted."""
    idempotency_key: str | None
    """With the same key again the first task stands, and its id is returned."""


class DatasetOptions(TypedDict, total=False):
    """Of a run over a dataset."""

    prompt: str | PromptFunction | None
    """A template such as ``"Label this: {text}"``, a function from a row to a prompt; None: the row is the prompt."""
    parameters: Mapping[str, Any] | None
    checkpoint: str | PathLike[str] | None
    """A file; after a crash the same call goes on where it was."""
    progress: bool | None
    """None draws a bar where somebody can see it."""


def known(options: Mapping[str, object], kind: type) -> None:
    """Raise InputError for a keyword that is none of ``kind``: Python does not check those of ``**options``."""
    unknown = [name for name in options if name not in kind.__annotations__]
    if unknown:
        there = ", ".join(kind.__annotations__)
        raise InputError(
            f"{unknown[0]}: there is no such option, only {there}; what is for the model goes into parameters={{...}}"
        )


def task_fields(options: TaskOptions, *, takes_any_model: bool) -> dict[str, Any]:
    """The fields of a task line for these options. Where any model is served, a mark says which one was asked for."""
    known(options, TaskOptions)
    metadata = given.fields("metadata", options.get("metadata")) or {}
    model = given.text("model", options.get("model"), "leave it out for the queue's default")
    if model is not None and takes_any_model:
        metadata, model = {**metadata, ASKED_MODEL: model}, None
    fields = {
        "model": model,
        "priority": given.priority(options.get("priority", Priority.NORMAL)).label,
        "parameters": given.fields("parameters", options.get("parameters")),
        "metadata": metadata or None,
        "delay": given.delay(options.get("delay")),
        "deadline": given.moment("deadline", options.get("deadline")),
        "stream": options.get("stream") or None,
        **{name: options.get(name) for name in ("tenant", "session", "idempotency_key")},
    }
    return {name: value for name, value in fields.items() if value is not None}
