"""The line to one server: one connection that all callers share. A command is written as soon as it is there, and
replies are taken in their order.

The library opens the connection (TLS, login, Sentinels) and parses what comes. Its own way, a connection and two
timeouts for each call, costs more than half of a small call.
"""

import asyncio
from collections import deque
from typing import Any

import valkey.asyncio as valkey
from valkey.exceptions import ConnectionError as ConnectionLost
from valkey.exceptions import ResponseError, ValkeyError

Argument = bytes | str | int


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


class Line:
    """``execute`` connects when need be: a lost connection costs the calls that wait at that moment, no later one.

    ``timeout`` in seconds bounds each call. A call that is late takes the connection with it, and those behind it.
    """

    def __init__(self, pool: valkey.ConnectionPool, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._opening = asyncio.Lock()
        self._connection: Any = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()  # for replies, and when each of them is late
        self._alarm: asyncio.TimerHandle | None = None

    async def execute(self, *command: Argument) -> Any:
        """The reply. Raises what the library raises, and TimeoutError."""
        packed = pack(command)
        if self._connection is None:
            await self._open()
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        late_at = loop.time() + self._timeout
        self._waiting.append((reply, late_at))
        if self._alarm is None:
            self._alarm = loop.call_at(late_at, self._end_when_late)
        # Not the library's own send: a caller that is cancelled in there takes the connection from all others.
        self._connection._writer.write(packed)  # noqa: SLF001
        return await reply

    async def close(self) -> None:
        """End the connection; whoever waits is told that it was lost."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _open(self) -> None:
        async with asyncio.timeout(self._timeout), self._opening:
            if self._connection is None:
                self._connection = connection = await self._pool.get_connection("")  # type: ignore[no-untyped-call]
                self._reading = asyncio.create_task(self._read(connection), name="replies of the store")

    async def _read(self, connection: Any) -> None:
        """Hand out replies until the connection is lost, which is told to all that wait."""
        error: Exception = ConnectionLost("the connection was closed")
        try:
            while True:
                try:
                    self._answer(await connection.read_response(disable_decoding=True))
                except ResponseError as refusal:
                    self._answer(refusal)
        except (ValkeyError, OSError) as lost:
            error = lost
        finally:
            self._lose(connection, error)
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    def _answer(self, answer: Any) -> None:
        if not self._waiting:
            raise ConnectionLost("the server answered what nobody asked")
        reply, _ = self._waiting.popleft()
        _settle(reply, answer)

    def _lose(self, connection: Any, error: Exception) -> None:
        """Forget the connection, unless that was done already; the next call opens another one."""
        if self._connection is not connection:
            return
        self._connection = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        waiting, self._waiting = self._waiting, deque()
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
            return
        self._lose(self._connection, TimeoutError())
        assert self._reading is not None
        self._reading.cancel()


def _settle(reply: asyncio.Future[Any], answer: Any) -> None:
    if reply.done():
        return  # its caller was cancelled
    if isinstance(answer, Exception):
        reply.set_exception(answer)
    else:
        reply.set_result(answer)
