"""The worker's HTTP client: the only module that knows aiohttp's client (see docs/adr/0003-http-client.md).

It turns every way in which a connection can fail into ``NoAnswer`` with a code and a sentence. Answers of any status
are returned as they are.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp

CONNECT_SECONDS = 10.0
MAX_ANSWER_BYTES = 32 * 2**20
STREAMS = ("text/event-stream", "application/x-ndjson")
# Below the 5 s after which uvicorn and llama.cpp close an idle connection: a call must not meet that moment.
KEEPALIVE_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer. ``streamed``: its body was given away line by line."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    streamed: bool = False


class NoAnswer(Exception):
    """No whole answer came. ``code`` is for machines; ``timed_out``: the server took the call but not the time;
    ``connected``: there was a connection, so that the server may have seen the call.
    """

    def __init__(self, code: str, message: str, *, timed_out: bool = False, connected: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.timed_out = timed_out
        self.connected = connected


class HttpClient:
    """One server's pooled, kept-alive connections: as many as there are calls, which the worker's slots bound.

    ``headers`` go with every call; ``api_key`` is what they may hold and no message may show.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        headers: Mapping[str, str] | None = None,
        connect_timeout: float = CONNECT_SECONDS,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self.url = url.rstrip("/")
        self._key = api_key.encode()
        self._connect_timeout = connect_timeout
        self._max_answer_bytes = max_answer_bytes
        # Compressed, an answer's size would not be known from its length, and on a local network it costs more time.
        json = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
            headers={**json, **(headers or {})},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def post(
        self,
        path: str,
        body: bytes,
        timeout: float,  # noqa: ASYNC109  aiohttp's own is cheaper
        line: Callable[[bytes], None] | None = None,
    ) -> Answer:
        """POST JSON, within ``timeout`` seconds in all. Redirects are not followed: they would carry the key away.

        ``line`` gets each line of a 200 that is a stream, as it comes; what it raises ends the call. Raises NoAnswer.
        """
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=self._connect_timeout)
        try:
            async with self._session.post(
                self.url + path, data=body, timeout=limits, allow_redirects=False
            ) as response:
                if line is not None and response.status == 200 and response.content_type in STREAMS:
                    await self._read_lines(response, line)
                    return Answer(200, response.headers, b"", streamed=True)
                body = await self._read(response)
                return Answer(response.status, response.headers, body if response.status == 200 else self.redact(body))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise no_answer(error, timeout) from error

    def redact(self, body: bytes) -> bytes:
        """What may be shown of a refusal: some servers repeat the key that they refuse."""
        return body.replace(self._key, b"***") if self._key else body

    async def _read_lines(self, response: aiohttp.ClientResponse, line: Callable[[bytes], None]) -> None:
        size, begun = 0, list[bytes]()
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > self._max_answer_bytes:
                raise _too_large(self._max_answer_bytes)
            begun.append(chunk)
            if b"\n" in chunk:
                *lines, rest = b"".join(begun).split(b"\n")
                begun = [rest]
                for each in lines:
                    line(each.removesuffix(b"\r"))
        if rest := b"".join(begun):
            line(rest)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        limit = self._max_answer_bytes
        if response.content_length is not None and "Content-Encoding" not in response.headers:
            if response.content_length > limit:
                raise _too_large(limit)
            return await response.read()
        chunks = bytearray()
        async for chunk in response.content.iter_any():
            chunks += chunk
            if len(chunks) > limit:
                raise _too_large(limit)
        return bytes(chunks)

    async def close(self) -> None:
        await self._session.close()
        await asyncio.sleep(0)  # lets the transports close before the loop does


def _too_large(limit: int) -> NoAnswer:
    return NoAnswer("answer_too_large", f"the answer is larger than {limit // 2**20} MiB")


def no_answer(error: Exception, seconds: float) -> NoAnswer:
    """What an error of aiohttp means, after a call that had so many seconds."""
    # Most specific first: aiohttp's classes inherit from one another and from OSError and TimeoutError.
    match error:
        case aiohttp.ConnectionTimeoutError():
            return NoAnswer("connect_timeout", "no connection in time", connected=False)
        case TimeoutError():
            return NoAnswer("timeout", f"no answer within {seconds:g} s", timed_out=True)
        case aiohttp.ClientConnectorDNSError():
            return NoAnswer("dns_failure", f"the host name {error.host!r} was not found", connected=False)
        case aiohttp.ClientConnectorCertificateError():
            words = f"the server's certificate is not trusted: {error.certificate_error}"
            return NoAnswer("tls_failure", words, connected=False)
        case aiohttp.ClientSSLError():
            return NoAnswer("tls_failure", f"TLS failed: {error.os_error}", connected=False)
        case aiohttp.ClientConnectorError():
            refused = isinstance(error.os_error, ConnectionRefusedError)
            words = "refused the connection" if refused else f"cannot be reached: {error.os_error.strerror}"
            code = "connection_refused" if refused else "unreachable"
            return NoAnswer(code, f"{error.host}:{error.port} {words}", connected=False)
        case aiohttp.ClientPayloadError():
            return NoAnswer("answer_cut", "the connection was cut inside the answer")
        case aiohttp.ServerDisconnectedError() | OSError():
            return NoAnswer("connection_reset", "the connection was cut before an answer")
        case _:
            return NoAnswer("not_http", f"no usable HTTP answer ({type(error).__name__})")
