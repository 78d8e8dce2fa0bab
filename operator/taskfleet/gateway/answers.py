"""HTTP answers: JSON, and every error in OpenAI's shape ``{"error": {"message", "type", "param", "code"}}``."""

import math
import re
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from taskfleet.core.errors import (
    AlreadyEnded,
    DuplicateTask,
    InputError,
    NotClaimed,
    NotFound,
    QueueClosed,
    QueueFull,
    StoreError,
    TaskfleetError,
    UnknownModel,
)

RETRY_SECONDS = 1  # after which a store that is away is worth another try
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# Messages name the field that they are about: ``messages[1].role: ...``.
_FIELD = re.compile(r"([A-Za-z_][\w.\-\[\]]*): ")
_STATUSES: Mapping[type[TaskfleetError], int] = {
    DuplicateTask: 409,
    UnknownModel: 404,
    InputError: 400,
    NotFound: 404,
    NotClaimed: 409,
    AlreadyEnded: 409,
    QueueFull: 429,
    QueueClosed: 503,
    StoreError: 503,
}


class Refused(TaskfleetError):
    """An answer that only HTTP knows: a status, a stable code, a sentence, and headers that go with it."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.word = code
        self.headers = dict(headers or {})


def json_answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(data), status, headers, media_type="application/json")


def error_answer(error: TaskfleetError) -> Response:
    """The answer for an error that was raised on purpose."""
    return json_answer(error_body(error), _status(error), _headers(error))


def error_body(error: TaskfleetError) -> dict[str, Any]:
    """An error as OpenAI writes it."""
    status, message = _status(error), str(error)
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    field = _FIELD.match(message)
    param = field[1] if field and status < 500 else None
    return {"error": {"message": message, "type": kind, "param": param, "code": _code(error)}}


def bug_answer(request_id: str) -> Response:
    """The answer when our own code broke; the log has the rest."""
    words = f"the gateway broke on this request; its log has it as {request_id}"
    return error_answer(Refused(500, "internal_error", words))


def _status(error: TaskfleetError) -> int:
    if isinstance(error, Refused):
        return error.status
    return next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), 500)


def _code(error: TaskfleetError) -> str:
    if isinstance(error, Refused):
        return error.word
    return "model_not_found" if isinstance(error, UnknownModel) else error.code


def _headers(error: TaskfleetError) -> dict[str, str]:
    if isinstance(error, Refused):
        return error.headers
    if isinstance(error, DuplicateTask):
        return {"Taskfleet-Task": error.task_id}
    if isinstance(error, QueueFull):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    return {"Retry-After": str(RETRY_SECONDS)} if isinstance(error, StoreError) else {}
