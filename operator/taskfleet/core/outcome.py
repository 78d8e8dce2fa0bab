"""What one call to a model server came to. Providers return these; nothing else leaves them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskfleet.core.task import TaskError, Usage


@dataclass(frozen=True, slots=True)
class Ok:
    """A real completion: ``output`` is the text, or the whole message when it is more than text (tool calls)."""

    output: str | Mapping[str, Any]
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Retry:
    """This attempt failed, another may work (a timeout, a conflict). ``after``: seconds the server asked for."""

    error: TaskError
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Fatal:
    """The request itself is wrong and will never work: fail the task now, in the server's words."""

    error: TaskError


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The server has too much to do (429, 503 with Retry-After). Not the task's fault: no attempt is burnt."""

    error: TaskError
    after: float | None = None


@dataclass(frozen=True, slots=True)
class EndpointDown:
    """The server is not there, is broken, or answers rubbish. Not the task's fault: no attempt is burnt.

    ``reached``: the server may have seen the request. Only then can the task be what breaks it.
    """

    error: TaskError
    after: float | None = None
    reached: bool = True


Outcome = Ok | Retry | Fatal | RateLimited | EndpointDown
