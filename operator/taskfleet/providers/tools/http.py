"""The tool ``http``: one request with its redirects, told as status, times, certificate and text.

That no answer came is a result as well: whoever asks whether a site is there wants to know it.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from taskfleet.api.toolcalls import HttpArguments
from taskfleet.api.toolsettings import ToolSettings
from taskfleet.core.outcome import Ok, Outcome, Retry
from taskfleet.core.task import TaskError
from taskfleet.providers.tools.addresses import AddressRefused
from taskfleet.providers.tools.dialer import Dialer
from taskfleet.providers.tools.hop import CheckedConnector, Hop
from taskfleet.providers.tools.redirects import NotAWebAddress, Request, is_redirect
from taskfleet.providers.tools.tool import failed

_HEADERS_SHOWN = 64
_HEADER_CHARS = 1024


class HttpTool:
    """Every call has connections of its own."""

    def __init__(self, settings: ToolSettings) -> None:
        self._dialer = Dialer(settings.network)

    async def run(self, arguments: HttpArguments) -> Outcome:
        visit = _Visit(self._dialer, arguments)
        try:
            async with asyncio.timeout(arguments.timeout):
                await visit.follow()
        except AddressRefused as refused:
            return failed("address_refused", str(refused))
        except TimeoutError:
            visit.error = TaskError("timeout", f"no whole answer within {arguments.timeout:g} s")
        if visit.error is not None and arguments.on_failure == "retry":
            return Retry(TaskError(f"http_{visit.error.code}", visit.error.message))
        return Ok(visit.told())

    async def close(self) -> None:
        """Nothing stays open between calls."""


class _Visit:
    """One call on its way from redirect to redirect."""

    def __init__(self, dialer: Dialer, arguments: HttpArguments) -> None:
        self.error: TaskError | None = None
        self._dialer = dialer
        self._arguments = arguments
        self._began = time.monotonic()
        self._request = Request.first(arguments)
        self._redirects: list[dict[str, Any]] = []
        self._hop = Hop()
        self._answer: dict[str, Any] = {}

    async def follow(self) -> None:
        """Raises AddressRefused and TimeoutError."""
        while (location := await self._ask()) is not None:
            try:
                self._request = self._request.redirected(self._answer["status"], location)
            except NotAWebAddress as error:
                self.error = TaskError("bad_redirect", str(error))
                return
            self._redirects.append({"status": self._answer["status"], "url": str(self._request.url)})

    def told(self) -> Mapping[str, Any]:
        hop, error = self._hop, self.error
        timing = {name: round(seconds, 6) for name, seconds in hop.timing.items()}
        return {
            "ok": error is None and self._answer["status"] < 400,
            "url": str(self._request.url),
            "redirects": self._redirects,
            "status": None,
            "headers": {},
            "body": None,
            "body_truncated": False,
            **self._answer,
            "tls": hop.tls,
            "timing": {**timing, "total": round(time.monotonic() - self._began, 6)},
            "error": error and {"code": error.code, "message": error.message},
        }

    async def _ask(self) -> str | None:
        """One request; where its answer sends us."""
        hop = self._hop = Hop()
        request, self._answer = self._request, {}
        connector = CheckedConnector(self._dialer, hop)
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=None), cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            try:
                async with session.request(
                    request.method, request.url, headers=request.headers, data=request.body, allow_redirects=False
                ) as answer:
                    hop.timing["first_byte"] = time.monotonic() - hop.connected_at
                    location = answer.headers.get("Location")
                    self._answer = {"status": answer.status, "headers": _headers(answer)}
                    if location is not None and is_redirect(answer.status) and self._arguments.max_redirects:
                        if len(self._redirects) < self._arguments.max_redirects:
                            return location
                        words = f"more than {self._arguments.max_redirects} redirects"
                        self.error = TaskError("too_many_redirects", words)
                        return None
                    self._answer |= await _body(answer, self._arguments.max_body_bytes)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                if isinstance(hop.trouble, AddressRefused):
                    raise hop.trouble from None
                self.error = _trouble(hop.trouble or error, request.url)
        return None


async def _body(answer: aiohttp.ClientResponse, most: int) -> dict[str, Any]:
    """The beginning of the body as text; None where it is none."""
    parts, size = [], 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most:
            break
    data = b"".join(parts)
    try:
        text = data[:most].decode(answer.charset or "utf-8", errors="replace")
    except LookupError:  # a charset that nobody knows
        text = data[:most].decode(errors="replace")
    return {"body": None if "\0" in text else text, "body_truncated": size > most}


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value[:_HEADER_CHARS] for name, value in list(answer.headers.items())[:_HEADERS_SHOWN]}


def _trouble(error: Exception, url: URL) -> TaskError:
    where = f"{url.host}:{url.port}"
    match error:
        case socket.gaierror():
            return TaskError("dns_failure", f"the host name {url.host!r} was not found")
        case ssl.SSLCertVerificationError():
            return TaskError("tls_untrusted", f"the certificate of {where} is not trusted: {error.verify_message}")
        case ssl.SSLError():
            return TaskError("tls_failure", f"TLS with {where} failed: {error.reason or error}")
        case ConnectionRefusedError():
            return TaskError("connection_refused", f"{where} refused the connection")
        case ConnectionError():
            return TaskError("connection_lost", f"{where} closed the connection")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return TaskError("connection_lost", f"{where} closed the connection before its answer was whole")
        case aiohttp.ClientError() | ValueError():
            return TaskError("bad_answer", f"{where} does not answer as HTTP has it: {str(error)[:300]}")
    return TaskError("unreachable", f"{where} cannot be reached: {getattr(error, 'strerror', None) or error}")
