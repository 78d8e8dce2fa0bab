"""The link between a worker and the store does what its condition says, to connections that are there and new ones."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from chaos.link import Condition, Link


class Echo:
    """A server that answers with what it was asked, and remembers it."""

    def __init__(self) -> None:
        self.asked = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            self.asked += data
            writer.write(data)
        writer.close()


@contextlib.asynccontextmanager
async def linked() -> AsyncIterator[tuple[Link, Echo, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A link to an echo, and a connection through it that has worked once."""
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    link = Link(server.sockets[0].getsockname()[1])
    await link.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    try:
        writer.write(b"one")
        assert await reader.read(100) == b"one"
        yield link, echo, reader, writer
    finally:
        writer.transport.abort()
        await link.stop()
        server.close()


async def test_a_cut_resets_what_is_there_and_what_comes_and_ends() -> None:
    async with linked() as (link, _, reader, _):
        link.become(Condition.CUT)
        with pytest.raises(ConnectionResetError):
            await reader.read(100)
        later, newcomer = await asyncio.open_connection("127.0.0.1", link.port)
        with contextlib.suppress(ConnectionResetError):
            assert await later.read(100) == b""
        newcomer.transport.abort()
        link.become(Condition.GOOD)
        again, friend = await asyncio.open_connection("127.0.0.1", link.port)
        friend.write(b"two")
        assert await again.read(100) == b"two"
        friend.transport.abort()


async def test_a_silent_link_delivers_when_it_is_good_again() -> None:
    async with linked() as (link, echo, reader, writer):
        link.become(Condition.SILENT)
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(100)
        assert echo.asked == b"one"
        link.become(Condition.GOOD)
        assert await reader.read(100) == b"two"


async def test_a_slow_link_delivers_later() -> None:
    async with linked() as (link, _, reader, writer):
        link.become(Condition.SLOW, delay=0.1)
        began = time.monotonic()
        writer.write(b"two")
        assert await reader.read(100) == b"two"
        assert time.monotonic() - began >= 0.2


async def test_a_half_closed_link_has_things_done_and_swallows_the_answer() -> None:
    async with linked() as (link, echo, reader, writer):
        link.become(Condition.HALF_CLOSED)
        writer.write(b"two")
        assert await reader.read(100) == b""
        assert echo.asked == b"onetwo"
        link.become(Condition.GOOD)
        again, friend = await asyncio.open_connection("127.0.0.1", link.port)
        friend.write(b"three")
        assert await again.read(100) == b"three"
        friend.transport.abort()
