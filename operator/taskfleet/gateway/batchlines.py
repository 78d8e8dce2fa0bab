"""The lines of a batch: each is one of OpenAI's requests, with a name of its own."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import orjson

from taskfleet.core.errors import InputError, TaskfleetError
from taskfleet.core.operation import Operation
from taskfleet.core.task import NewTask, Priority
from taskfleet.core.wiretime import wire_time
from taskfleet.gateway.answers import error_body
from taskfleet.gateway.callers import ANYONE
from taskfleet.gateway.jsonbounds import check_values
from taskfleet.gateway.online import new_task
from taskfleet.gateway.queues import OpenQueue
from taskfleet.gateway.wishes import Wishes

MOST_LINES = 50_000
MOST_ERRORS = 100  # of a file that are told
MAX_CUSTOM_ID = 512
MAX_LINE_BYTES = 16 * 2**20
ENDPOINTS = {f"/v1{operation.path}": operation for operation in Operation}
_FIELDS = ("custom_id", "method", "url", "body")


@dataclass(frozen=True, slots=True)
class BatchTerms:
    """What holds for all lines of a batch. ``expires_at``: seconds since the epoch, after which none is begun."""

    id: str
    endpoint: str
    tenant: str
    priority: Priority
    expires_at: int


class LineError(InputError):
    """A line that can be no request. ``word`` is a stable code, ``param`` the field."""

    def __init__(self, word: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.word = word
        self.param = param


def check_lines(lines: Iterable[bytes], terms: BatchTerms, queue: OpenQueue) -> tuple[int, list[dict[str, Any]]]:
    """How many requests there are, and what is wrong with them, as OpenAI lists it; with the numbers of lines."""
    errors: list[dict[str, Any]] = []
    line_of: dict[str, int] = {}
    count = 0
    for number, line in numbered(lines):
        count += 1
        if count > MOST_LINES:
            words = f"the file has more than {MOST_LINES} requests; share them out among several batches"
            errors.append(_entry(LineError("too_many_requests", words), None))
            break
        try:
            custom_id, body = read_line(line, terms)
            task_of(body, custom_id, number, terms, queue)
            first = line_of.setdefault(custom_id, number)
            if first != number:
                words = f"custom_id: {custom_id[:80]!r} is on line {first} already; each request has its own"
                raise LineError("duplicate_custom_id", words, "custom_id")
        except InputError as error:
            errors.append(_entry(error, number))
            if len(errors) == MOST_ERRORS:
                break
    if not count:
        errors.append(_entry(LineError("empty_file", "the file has no requests; write one JSON object a line"), None))
    return count, errors


def tasks_of(
    lines: Iterable[bytes], terms: BatchTerms, queue: OpenQueue, done: Container[int]
) -> Iterator[tuple[int, str, NewTask | InputError]]:
    """Number, name and task of each line of a checked file that is not ``done``; or why it can be none any more, as
    the queue may have changed."""
    for number, line in numbered(lines):
        if number in done:
            continue
        custom_id, body = read_line(line, terms)
        try:
            # To submit it again, after whatever happened, is to submit it once.
            yield number, custom_id, replace(task_of(body, custom_id, number, terms, queue), once=True)
        except InputError as error:
            yield number, custom_id, error


def read_line(line: bytes, terms: BatchTerms) -> tuple[str, dict[str, Any]]:
    """The name and the request of a line. Raises LineError."""
    if len(line) > MAX_LINE_BYTES:
        raise LineError("line_too_large", f"this line has more than {MAX_LINE_BYTES // 2**20} MiB")
    check_values(line)
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise LineError("invalid_json_line", f"this line is not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(fields, dict):
        raise LineError("invalid_json_line", "this line is not a JSON object")
    unknown = next((name for name in fields if name not in _FIELDS), None)
    if unknown is not None:
        raise LineError("unknown_parameter", f"{unknown[:80]}: unknown field; there are {', '.join(_FIELDS)}", unknown)
    missing = next((name for name in _FIELDS if name not in fields), None)
    if missing is not None:
        raise LineError("missing_required_parameter", f"{missing}: it is missing", missing)
    return _checked(fields, terms)


def _checked(fields: dict[str, Any], terms: BatchTerms) -> tuple[str, dict[str, Any]]:
    custom_id, body = fields["custom_id"], fields["body"]
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= MAX_CUSTOM_ID:
        words = f"custom_id: it must be a string of 1 to {MAX_CUSTOM_ID} characters"
        raise LineError("invalid_custom_id", words, "custom_id")
    if fields["method"] != "POST":
        raise LineError("invalid_method", "method: it must be POST", "method")
    if fields["url"] != terms.endpoint:
        raise LineError("mismatched_url", f"url: it must be that of the batch, {terms.endpoint}", "url")
    if not isinstance(body, dict):
        raise LineError("invalid_body", "body: it must be an object", "body")
    return custom_id, body


def task_of(body: dict[str, Any], custom_id: str, number: int, terms: BatchTerms, queue: OpenQueue) -> NewTask:
    """Its id is made of batch and line."""
    line = {
        "id": f"{terms.id}-{number}",
        "metadata": {"custom_id": custom_id},
        "deadline": _deadline(terms.expires_at),
    }
    wishes = Wishes(priority=terms.priority, tenant=terms.tenant, task=line)
    return new_task(ENDPOINTS[terms.endpoint], body, wishes, queue, ANYONE, terms.priority)


_deadline = lru_cache(maxsize=16)(wire_time)  # the same for all lines of a batch


def numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank."""
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def _entry(error: TaskfleetError, line: int | None) -> dict[str, Any]:
    if isinstance(error, LineError):
        return {"code": error.word, "line": line, "message": str(error), "param": error.param}
    told = error_body(error)["error"]
    return {"code": told["code"], "line": line, "message": f"body.{told['message']}", "param": told["param"]}
