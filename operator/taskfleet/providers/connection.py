"""One kept-alive HTTP/1.1 connection: a request out, its answer in, one at a time."""

import asyncio
import ssl
from typing import cast

from taskfleet.providers.answer import Answer, NoAnswer
from taskfleet.providers.dialing import tls_failure
from taskfleet.providers.incoming import Incoming, Line


class Connection(asyncio.Protocol):
    """``open``: it can take a request. ``idle_since``: since when, by the loop's clock; of whoever keeps it."""

    def __init__(self) -> None:
        self.open = False
        self.idle_since = 0.0
        self._transport: asyncio.Transport
        self._incoming: Incoming | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def exchange(
        self,
        request: tuple[bytes, bytes],
        timeout: float,  # noqa: ASYNC109  a timer of the loop is cheaper
        limit: int,
        line: Line | None,
    ) -> Answer:
        """Send a request's head and body, and wait at most ``timeout`` seconds for its answer.

        Raises NoAnswer, and what ``line`` raises. Unless the answer is whole the connection is closed.
        """
        loop = asyncio.get_running_loop()
        incoming = self._incoming = Incoming(limit, line)
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(timeout, self._timed_out, timeout)
        self._transport.writelines(request)
        try:
            await waiter
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()
            self._incoming = self._waiter = None
        # A server that answered before it had the whole request would read the rest of it as the next one.
        if not incoming.keeps_alive or self._transport.get_write_buffer_size():
            self.close()
        return incoming.answer()

    def close(self) -> None:
        """At once; a call that runs ends with NoAnswer."""
        self.open = False
        self._failed(NoAnswer("closed", "this client was closed during the call"))
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        if self._incoming is None:  # nothing was asked
            self.close()
            return
        try:
            self._incoming.feed(data)
        except Exception as error:
            self._failed(error)
        else:
            if self._incoming.is_whole:
                self._succeeded()

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self._incoming is None:
            return
        if isinstance(error, ssl.SSLError):
            self._failed(tls_failure(error))
            return
        try:
            self._incoming.feed_end()
        except Exception as cut:
            self._failed(cut)
        else:
            self._succeeded()

    def _timed_out(self, seconds: float) -> None:
        self._failed(NoAnswer("timeout", f"no answer within {seconds:g} s", timed_out=True))

    def _succeeded(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _failed(self, why: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(why)
