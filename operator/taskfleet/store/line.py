"""The line to one server: one connection that all callers share. What they ask in one turn of the event loop is one
writing, as a writing costs more than a small command; and replies are taken in their order.

The library opens the connection (TLS, login, Sentinels), and its parser reads what comes. Its own way, a connection and
two timeouts for each call and a stream between it and the socket, costs most of a small call.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import valkey.asyncio as valkey
from libvalkey import Reader
from valkey.exceptions import ConnectionError as ConnectionLost
from valkey.exceptions import InvalidResponse, ValkeyError

Argument = bytes | str | int

_MORE = object()  # the reader wants more bytes
# Each writing begins with it. The server writes to its connections in the reverse of the order in which they came to
# have something to be told: so whoever is woken by a command hears of it before its caller has the reply.
_FIRST = b"*1\r\n$4\r\nPING\r\n"


def pack(command: tuple[Argument, ...]) -> bytes:
    """A command in the protocol of Redis and Valkey; its first argument may be two words, as in ``CONFIG SET``."""
    name, *arguments = command
    words = [*_encoded(name).split(), *map(_encoded, arguments)]
    parts = [b"*%d" % len(words)]
    for word in words:
        parts += (b"\r\n$%d\r\n" % len(word), word)
    parts.append(b"\r\n")
    return b"".join(parts)


def _encoded(argument: Argument) -> bytes:
    return argument if isinstance(argument, bytes) else str(argument).encode()


class Replies(asyncio.Protocol):
    """What the server says on one connection. In the library's place: no task has to wake up to read a reply."""

    def __init__(self, connection: Any, answered: Callable[[Any], None], lost: Callable[[Exception], None]) -> None:
        self._answered = answered
        self._lost = lost
        words = connection._parser.parse_error  # noqa: SLF001  the library's own kinds of refusals
        self._reader = Reader(protocolError=InvalidResponse, replyError=words, notEnoughData=_MORE)
        self.transport: asyncio.Transport = connection._writer.transport  # noqa: SLF001
        self.transport.set_protocol(self)
        if self.transport.is_closing():  # too early for this protocol to be told
            raise ConnectionLost("the connection was closed")

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _MORE:
                if isinstance(reply, ConnectionLost):  # such as of a server that is loading its data
                    raise reply
                self._answered(reply)
        except ValkeyError as error:
            self._lost(error)
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost(error or ConnectionLost("the server closed the connection"))


class Line:
    """``execute`` connects when need be: a lost connection costs the calls that wait at that moment, no later one.

    ``timeout`` in seconds bounds each call. A call that is late takes the connection with it, and those behind it.
    """

    def __init__(self, pool: valkey.ConnectionPool, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._opening = asyncio.Lock()
        self._connection: Any = None
        self._replies: Replies | None = None
        self._unsent: list[bytes] = []
        # For replies, and when each of them is late; None: nobody, for that to the first of a writing.
        self._waiting: deque[tuple[asyncio.Future[Any] | None, float]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    async def execute(self, *command: Argument) -> Any:
        """The reply. Raises what the library raises, and TimeoutError."""
        packed = pack(command)
        replies = self._replies or await self._open()
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        late_at = loop.time() + self._timeout
        if not self._unsent:
            self._unsent.append(_FIRST)
            self._waiting.append((None, late_at))
            loop.call_soon(self._send, replies)
        self._unsent.append(packed)
        self._waiting.append((reply, late_at))
        if self._alarm is None:
            self._alarm = loop.call_at(late_at, self._end_when_late)
        return await reply

    async def close(self) -> None:
        """End the connection; whoever waits is told that it was lost."""
        if self._replies is not None:
            self._end(self._replies, ConnectionLost("the connection was closed"))
        await self._give_back()

    async def _open(self) -> Replies:
        async with asyncio.timeout(self._timeout), self._opening:
            if self._replies is None:
                await self._give_back()
                self._connection = await self._pool.get_connection("")  # type: ignore[no-untyped-call]

                def lost(error: Exception) -> None:
                    self._lose(opened, error)

                opened = self._replies = Replies(self._connection, self._answer, lost)
            return self._replies

    async def _give_back(self) -> None:
        """To the library's pool, what was lost."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    def _send(self, replies: Replies) -> None:
        if self._replies is not replies:
            return  # it was lost, and so were they
        unsent, self._unsent = self._unsent, []
        try:
            replies.transport.writelines(unsent)
        except RuntimeError as error:  # uvloop's, of a connection that was reset
            self._end(replies, ConnectionLost(str(error)))

    def _answer(self, answer: Any) -> None:
        if not self._waiting:
            raise ConnectionLost("the server answered what nobody asked")
        reply, _ = self._waiting.popleft()
        _settle(reply, answer)

    def _end(self, replies: Replies, error: Exception) -> None:
        self._lose(replies, error)
        replies.transport.abort()

    def _lose(self, replies: Replies, error: Exception) -> None:
        """Forget the connection, unless that was done already; the next call opens another one."""
        if self._replies is not replies:
            return
        self._replies = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        waiting, self._waiting, self._unsent = self._waiting, deque(), []
        for reply, _ in waiting:
            _settle(reply, error)

    def _end_when_late(self) -> None:
        """Set for the time at which the first of those that waited then is late: it may have had its reply since."""
        self._alarm, loop = None, asyncio.get_running_loop()
        if not self._waiting:
            return
        _, late_at = self._waiting[0]
        if late_at > loop.time():
            self._alarm = loop.call_at(late_at, self._end_when_late)
        elif self._replies is not None:
            self._end(self._replies, TimeoutError())


def _settle(reply: asyncio.Future[Any] | None, answer: Any) -> None:
    if reply is None or reply.done():
        return  # nobody's, or its caller was cancelled
    if isinstance(answer, Exception):
        reply.set_exception(answer)
    else:
        reply.set_result(answer)
