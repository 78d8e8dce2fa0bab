"""What goes wrong between a program and a gateway, as the errors that the same trouble has with a store."""

from collections.abc import Mapping
from typing import Any

import aiohttp

from taskfleet.core import errors
from taskfleet.core.errors import (
    DuplicateTask,
    GatewayUnreachable,
    InputError,
    NotPermitted,
    QueueFull,
    StoreAuthFailed,
    StoreError,
    TaskfleetError,
    UnknownModel,
)

_BY_CODE: Mapping[str, type[TaskfleetError]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TaskfleetError)
} | {"model_not_found": UnknownModel}
_KEY = ("missing_api_key", "invalid_api_key")


def refusal(url: str, status: int, headers: Mapping[str, str], body: Any) -> TaskfleetError:
    """What an answer in OpenAI's form says is wrong; of another form it is not a gateway's."""
    said = body.get("error") if isinstance(body, dict) else None
    if not isinstance(said, dict) or not isinstance(said.get("code"), str):
        return no_gateway(url, status)
    code, words = said["code"], str(said.get("message"))
    if status == 401 or code in _KEY:
        return StoreAuthFailed(f"api_key: the gateway at {url} says: {words}")
    if status == 403:
        return NotPermitted(words)
    if code == QueueFull.code:
        return QueueFull(words, retry_after=_seconds(headers.get("Retry-After", "")))
    if code == DuplicateTask.code:
        return DuplicateTask(headers.get("Taskfleet-Task", ""), words)
    kind = _BY_CODE.get(code)
    if kind is not None:
        return kind(words)
    return InputError(words) if status < 500 else StoreError(words)


def no_gateway(url: str, status: int) -> GatewayUnreachable:
    """For an answer that no gateway gives: of another server, or of a proxy whose gateway does not run now."""
    return GatewayUnreachable(
        f"url: what answers at {url} (HTTP {status}) is no gateway of Taskfleet; give its address, such as "
        "http://HOST:8420, or look whether it runs behind what answers"
    )


def unreachable(url: str, error: Exception, seconds: float) -> GatewayUnreachable:
    """For a call without an answer, which had so many seconds."""
    return GatewayUnreachable(
        f"the gateway at {url} cannot be used: {_why(error, seconds)}; start it (`taskfleet gateway`), or look at its "
        "address"
    )


def _why(error: Exception, seconds: float) -> str:
    # Most specific first: aiohttp's classes inherit from one another and from OSError and TimeoutError.
    match error:
        case aiohttp.ConnectionTimeoutError():
            return "no connection in time"
        case TimeoutError():
            return f"no answer within {seconds:g} s"
        case aiohttp.ClientConnectorDNSError():
            return f"the host name {error.host!r} was not found"
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not trusted: {error.certificate_error}"
        case aiohttp.ClientSSLError():
            return f"TLS failed: {error.os_error}"
        case aiohttp.ClientConnectorError():
            refused = isinstance(error.os_error, ConnectionRefusedError)
            return "it refused the connection" if refused else f"{error.os_error.strerror}"
        case aiohttp.ClientPayloadError():
            return "the connection was cut inside the answer"
        case aiohttp.ServerDisconnectedError() | OSError():
            return "the connection was cut before an answer"
        case _:
            return f"no usable HTTP answer ({type(error).__name__})"


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 1.0
