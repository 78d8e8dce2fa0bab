"""One connection on which a server says what is published.

Read where it arrives, as the replies of a ``Line`` are: whoever waits to be woken waits for no task that reads.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import valkey.asyncio as valkey
from valkey.exceptions import ValkeyError

from taskfleet.store.line import Replies, pack


class Said(NamedTuple):
    """``kind``: ``message``, ``pmessage``, or what it confirms, such as ``subscribe``."""

    kind: bytes
    channel: bytes
    text: bytes


Hear = Callable[[Said], None]
Lost = Callable[[Exception], None]


class Subscription:
    """``hear`` is called with all that is said; ``lost`` once, when the connection is.

    After ``patience`` seconds of silence the server is asked for a sign of life; when it is silent for as long again
    the line is dead, though nobody said so.
    """

    def __init__(self, connection: Any, patience: float, hear: Hear, lost: Lost) -> None:
        self._hear = hear
        self._lost: Lost | None = lost
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._replies = Replies(connection, self._heard, self._lose)
        self._heard_at = self._loop.time()
        self._asked = False
        self._alarm = self._loop.call_later(patience, self._when_silent)

    def tell(self, command: str, *names: bytes) -> None:
        """SUBSCRIBE, PSUBSCRIBE or UNSUBSCRIBE these; each is confirmed by a word of that kind."""
        self._replies.transport.write(pack((command, *names)))

    def close(self) -> None:
        self._alarm.cancel()
        self._lost = None
        self._replies.transport.abort()

    def _heard(self, said: Any) -> None:
        self._heard_at, self._asked = self._loop.time(), False
        if isinstance(said, ValkeyError):  # such as of a login that may not listen
            raise said
        if isinstance(said, list) and len(said) > 2:  # the rest are signs of life
            self._hear(Said(said[0], said[-2], said[-1]))  # of a pattern the second is the pattern

    def _when_silent(self) -> None:
        """Set for the time at which the silence is too long, unless something was heard since."""
        silent_at = self._heard_at + self._patience
        if silent_at > self._loop.time():
            self._alarm = self._loop.call_at(silent_at, self._when_silent)
        elif self._asked:
            self._lose(TimeoutError())
        else:
            self._asked = True
            self._replies.transport.write(pack(("PING",)))
            self._alarm = self._loop.call_later(self._patience, self._when_silent)

    def _lose(self, error: Exception) -> None:
        if self._lost is not None:
            lost = self._lost
            self.close()
            lost(error)


@asynccontextmanager
async def subscribed(
    pool: valkey.ConnectionPool, patience: float, hear: Hear, lost: Lost
) -> AsyncIterator[Subscription]:
    """A connection of the pool, for nothing else, closed at the end."""
    async with asyncio.timeout(patience):
        connection = await pool.get_connection("")  # type: ignore[no-untyped-call]
    try:
        subscription = Subscription(connection, patience, hear, lost)
        try:
            yield subscription
        finally:
            subscription.close()
    finally:
        await connection.disconnect(nowait=True)
        await pool.release(connection)
