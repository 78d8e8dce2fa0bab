"""What a worker outside says to a gateway, read and checked: each wrong field is named."""

from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from taskfleet.api.fielderrors import field_name
from taskfleet.core.errors import InputError
from taskfleet.core.events import Publication
from taskfleet.core.settlement import Settlement, Turn, Verdict, WorkerReport
from taskfleet.core.task import TaskError, Usage

M = TypeVar("M")
S = TypeVar("S", bound="Said")
LONGEST_LEASE = 7 * 86400.0
_MOST_AT_ONCE = 1000


class Said(BaseModel):
    """A body, or a part of one: nothing that is not known is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class ClaimWanted(Said):
    """``models``: those whose tasks are wanted, without it all of the queue. ``wait``: seconds for one to come."""

    worker: str = Field(min_length=1, max_length=255)
    models: list[str] | None = None
    count: int = Field(default=1, ge=1, le=_MOST_AT_ONCE)
    wait: float = Field(default=0.0, ge=0, le=60)


class Beat(Said):
    """``leases``: fences by the ids of tasks. ``lease_seconds``: how long they hold from now on, without it the queue's
    own time. ``report``: more of the worker."""

    worker: str = Field(min_length=1, max_length=255)
    leases: dict[str, int] = Field(default_factory=dict, max_length=10 * _MOST_AT_ONCE)
    lease_seconds: float | None = Field(default=None, gt=0, le=LONGEST_LEASE)
    report: dict[str, Any] = Field(default_factory=dict)

    def as_report(self) -> WorkerReport:
        """Raises InputError."""
        usual = {"pool": "", "endpoint": "", "slots": len(self.leases), "inflight": len(self.leases)}
        return _checked(_REPORT.validate_python, usual | self.report | {"worker": self.worker}, "report")


class SaidError(Said):
    code: str = Field(min_length=1, max_length=128)
    message: str
    status: int | None = None


class SaidUsage(Said):
    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)


class SaidTurn(Said):
    messages: list[dict[str, Any]]
    forgotten: int = Field(default=0, ge=0)


class LeaseEnd(Said):
    """As a Settlement; ``id`` is the task's."""

    id: str
    fence: int
    verdict: Verdict
    delay: float = Field(default=0.0, ge=0, le=LONGEST_LEASE)
    output: Any = None
    error: SaidError | None = None
    usage: SaidUsage | None = None
    endpoint: str = Field(default="", max_length=255)
    model: str = Field(default="", max_length=255)
    run_seconds: float = Field(default=0.0, ge=0)
    turn: SaidTurn | None = None

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.verdict in (Verdict.FAIL, Verdict.RETRY) and self.error is None:
            raise ValueError(f'{self.verdict.value} needs an error: {{"code", "message"}}')
        return self

    def as_settlement(self) -> Settlement:
        error, usage, turn = self.error, self.usage, self.turn
        return Settlement(
            self.id,
            self.fence,
            self.verdict,
            self.delay,
            output=self.output,
            error=None if error is None else TaskError(error.code, error.message, error.status),
            usage=None if usage is None else Usage(usage.input_tokens, usage.output_tokens),
            endpoint=self.endpoint,
            model=self.model,
            run_seconds=self.run_seconds,
            turn=None if turn is None else Turn(orjson.dumps(turn.messages), turn.forgotten),
        )


class LeaseEnds(Said):
    ends: list[LeaseEnd] = Field(min_length=1, max_length=_MOST_AT_ONCE)


class SaidPieces(Said):
    """As a Publication."""

    id: str
    fence: int
    first: int = Field(ge=1)
    chunks: list[dict[str, Any]]
    about: dict[str, str] = Field(default_factory=dict)

    def as_publication(self) -> Publication:
        return Publication(self.id, self.fence, self.first, [orjson.dumps(each) for each in self.chunks], self.about)


class SaidPublications(Said):
    publications: list[SaidPieces] = Field(min_length=1, max_length=_MOST_AT_ONCE)


_REPORT = TypeAdapter(WorkerReport)


def read(model: type[S], found: Mapping[str, Any]) -> S:
    """What was said, as ``model``. Raises InputError that names the first field that is wrong."""
    return _checked(model.model_validate, found)


def _checked(check: Callable[[Mapping[str, Any]], M], found: Mapping[str, Any], where: str = "") -> M:
    try:
        return check(found)
    except ValidationError as error:
        first = error.errors()[0]
        field = field_name(((where,) if where else ()) + tuple(first["loc"]))
        words = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{field}: {words[:1].lower()}{words[1:]}") from None
