"""One connection, bounded in time and bytes: what is endless, or never comes, or is never read, is not waited for."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_SECONDS = 15.0
MAX_HEAD_BYTES = 64 * 1024
REST_SECONDS = 5.0  # for what still comes of a body whose request was answered without it
MAX_REST_BYTES = 64 * 2**20  # a client that is cut off while it sends does not see why
UNREAD_SECONDS = 60.0  # for a client that takes nothing of what it asked for
# Longer than clients and balancers keep an idle connection (OpenAI's client 5 s, aiohttp 15, Go 90, Google's balancers
# 600): whoever closes first must not be the one to whom a request is on its way.
IDLE_SECONDS = 620
_FRAMING = 8  # bytes around each byte of a body whose client sends it one by one
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
)
_WORDS = (
    b'{"error":{"message":"the head of the request is larger than 64 KiB; send fewer or shorter headers",'
    b'"type":"invalid_request_error","param":null,"code":"head_too_large"}}'
)


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's protocol, which bounds none of it, and writes the head and the body of an answer one by one."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.timeout_keep_alive = IDLE_SECONDS
        self._head = _Patience(HEAD_SECONDS, self._close)
        self._rest = _Patience(REST_SECONDS, self._abort)
        self._unread = _Patience(UNREAD_SECONDS, self._abort)
        self._overhead = 0  # bytes of the current message that are no body: head, framing, trailers
        self._rest_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._head.begin(self.loop)

    def data_received(self, data: bytes) -> None:
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self._head.is_on:  # nothing was answered on it yet
                self.transport.write(_TOO_LARGE % (len(_WORDS), _WORDS))
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._rest_bytes = 0
        self._head.begin(self.loop)

    def on_headers_complete(self) -> None:
        self._head.end()
        super().on_headers_complete()
        if self.scope["method"] != "HEAD":  # or the head would wait for ever
            self.cycle.transport = cast(asyncio.Transport, _HeadWithBody(self.transport, self.cycle))

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._overhead = max(0, self._overhead - (1 + _FRAMING) * len(body))
        if self.cycle.response_complete:
            self._rest_bytes += len(body)
            if self._rest_bytes > MAX_REST_BYTES:
                self._abort()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._overhead = 0
        if self._rest.is_on:
            self._rest.end()
            self.timeout_keep_alive_task = self.loop.call_later(IDLE_SECONDS, self.timeout_keep_alive_handler)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._rest.begin(self.loop)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.begin(self.loop)

    def resume_writing(self) -> None:
        self._unread.end()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        for patience in (self._head, self._rest, self._unread):
            patience.end()
        super().connection_lost(exc)

    def _close(self) -> None:
        self.transport.close()

    def _abort(self) -> None:
        """At once: also what is still to be sent is not waited for."""
        self.transport.abort()


class _HeadWithBody:
    """What an answer is written to: its head goes out with the beginning of its body, which follows at once. A writing
    costs more than most of what is in it, and the client would wake up twice."""

    def __init__(self, transport: asyncio.Transport, cycle: RequestResponseCycle) -> None:
        self.close = transport.close
        self.is_closing = transport.is_closing
        self._write = transport.write
        self._cycle = cycle
        self._head: bytes | None = None
        self._begun = False

    def write(self, data: bytes) -> None:
        if self._cycle.response_started and not self._begun:  # before it there may be a 100 Continue
            if self._head is None:
                self._head = data
                return
            data, self._begun = self._head + data, True
        self._write(data)


class _Patience:
    """Ends after ``seconds``, by ``over``, unless what it waits for comes before."""

    def __init__(self, seconds: float, over: Callable[[], None]) -> None:
        self._seconds = seconds
        self._over = over
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_on(self) -> bool:
        return self._timer is not None

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on; when it is on already, it goes on as it is."""
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._end_by_itself)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_by_itself(self) -> None:
        self._timer = None
        self._over()
