"""What an HTTP answer that is not a success means, and the words of the server in it. Pure."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from taskfleet.core.operation import Operation
from taskfleet.core.outcome import EndpointDown, Fatal, Outcome, RateLimited, Retry
from taskfleet.core.task import TaskError
from taskfleet.providers.answer import Answer
from taskfleet.providers.retry_after import retry_after_seconds

MAX_MESSAGE = 2000

_FATAL_CODES = {400: "bad_request", 413: "too_large", 415: "unsupported_media_type", 422: "unprocessable"}
_RETRY_CODES = {408: "server_timeout", 409: "conflict", 425: "too_early"}
_TITLE = re.compile(r"<title[^>]*>\s*(.*?)\s*</title>", re.IGNORECASE | re.DOTALL)


def refusal(answer: Answer) -> Outcome:
    """The outcome of any answer but 200.

    Only what the server holds against the request itself is Fatal. A wrong URL (404 without a word of a model, 405, a
    redirect), a refused key or an unpaid bill is the endpoint's trouble: failing the queue's tasks for it would lose
    them all.
    """
    status = answer.status
    words = server_words(answer)
    after = after_seconds(answer)

    def error(code: str, message: str = words) -> TaskError:
        return TaskError(code, message, status)

    if status == 429 or (status == 503 and after is not None):
        return RateLimited(error("rate_limited"), after)
    if status in _RETRY_CODES:
        return Retry(error(_RETRY_CODES[status]), after)
    if status in (401, 403):
        return EndpointDown(error("key_refused", f"the endpoint refuses our API key ({status}): {words}"))
    if status == 404:
        if "model" in words.lower():
            return Fatal(error("model_not_found"))
        return EndpointDown(error("wrong_url", f"nothing at this path ({words}); check the endpoint's url"))
    if status == 405 or 300 <= status < 400:
        return EndpointDown(error("wrong_url", f"HTTP {status} ({words}); check the endpoint's url"))
    if status == 402 or status >= 500 or status < 300:
        return EndpointDown(error("server_error", f"HTTP {status}: {words}"), after)
    return Fatal(error(_FATAL_CODES.get(status, f"http_{status}")))


def is_missing(answer: Answer) -> bool:
    """Whether a server that may well have other calls has not this one."""
    return answer.status in (405, 501) or (answer.status == 404 and "model" not in server_words(answer).lower())


def not_offered(operation: Operation | None, why: str) -> Fatal:
    """The endpoint has not the call that a task is."""
    return Fatal(TaskError("operation_not_offered", f"operation: this endpoint has no {operation}: {why}"))


def after_seconds(answer: Answer) -> float | None:
    """Seconds that the server asks to wait; None when it does not say."""
    return retry_after_seconds(answer.headers.get("retry-after"), answer.headers.get("date"), datetime.now(UTC))


def server_words(answer: Answer) -> str:
    """The server's own message, bounded: from OpenAI's, vLLM's, llama.cpp's, Ollama's and FastAPI's JSON, or text."""
    try:
        data = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        text = answer.body[: 4 * MAX_MESSAGE].decode(errors="replace")
        title = _TITLE.search(text)
        message = title[1] if title else text.strip()
    else:
        message = message_in(data) or answer.body[: 4 * MAX_MESSAGE].decode(errors="replace").strip()
    return message[:MAX_MESSAGE] or f"HTTP {answer.status} with an empty body"


def message_in(data: Any) -> str:
    """The message in an error's JSON; "" when there is none that we know."""
    if not isinstance(data, Mapping):
        return ""
    error = data.get("error")
    if isinstance(error, Mapping):
        error = error.get("message")
    for candidate in (error, _detail(data.get("detail")), data.get("message")):
        if isinstance(candidate, str) and candidate:
            return candidate
    return ""


def _detail(detail: Any) -> str:
    """FastAPI's ``detail``: text, or a list of ``{loc, msg}``."""
    if isinstance(detail, str):
        return detail
    if not isinstance(detail, Sequence):
        return ""
    problems = [item for item in detail if isinstance(item, Mapping) and "msg" in item]
    return "; ".join(f"{'.'.join(str(part) for part in item.get('loc', ()))}: {item['msg']}" for item in problems)
