"""A SOCKS5 proxy (RFC 1928) on loopback that goes only where the rules of tools allow.

The browser has no other way out: it does not resolve names itself, and whatever a page loads, wherever it is
redirected, is dialled here, with the address that was checked.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import struct

from taskfleet.providers.tools.addresses import AddressRefused
from taskfleet.providers.tools.dialer import Dialer

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 10.0
DIAL_SECONDS = 20.0
MAX_TROUBLES = 1000
_GREETED = b"\x05\x00"
_SUCCEEDED, _NOT_ALLOWED, _UNREACHABLE, _REFUSED = 0, 2, 4, 5
_CONNECT, _IPV4, _NAME, _IPV6 = 1, 1, 3, 4


class CheckedProxy:
    """``refusals`` and ``troubles``: why there was no connection to a host and port, the newest of each."""

    def __init__(self, dialer: Dialer) -> None:
        self.refusals: dict[tuple[str, int], str] = {}
        self.troubles: dict[tuple[str, int], str] = {}
        self._dialer = dialer
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Its port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._serving):
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of its own: one of the server's that is cancelled would be told to the loop as an error.
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                host, port = await _asked(reader, writer)
            sock = await self._dialled(host, port, writer)
            if sock is not None:
                await _joined(reader, writer, *await asyncio.open_connection(sock=sock))
        except (OSError, EOFError, ValueError, TimeoutError):
            pass  # the browser went, or is none
        finally:
            writer.transport.abort()

    async def _dialled(self, host: str, port: int, writer: asyncio.StreamWriter) -> socket.socket | None:
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                found = await self._dialer.dial(host, port)
        except AddressRefused as refused:
            _note(self.refusals, (host, port), str(refused))
            _reply(writer, _NOT_ALLOWED)
            return None
        except OSError as error:
            missing = isinstance(error, socket.gaierror)
            words = f"the host name {host!r} was not found" if missing else error.strerror or str(error)
            _note(self.troubles, (host, port), words or f"{host}:{port} cannot be reached")
            _reply(writer, _REFUSED if isinstance(error, ConnectionRefusedError) else _UNREACHABLE)
            return None
        _reply(writer, _SUCCEEDED)
        return found.sock


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """Where the browser wants to go. Raises ValueError for what is not SOCKS5."""
    version, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    if version != 5:
        raise ValueError("not SOCKS5")
    writer.write(_GREETED)
    version, command, _, kind = await reader.readexactly(4)
    if version != 5 or command != _CONNECT:
        raise ValueError("not a connection")
    if kind == _NAME:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode("ascii")
    elif kind in (_IPV4, _IPV6):
        host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == _IPV4 else 16)))
    else:
        raise ValueError("not an address")
    (port,) = struct.unpack("!H", await reader.readexactly(2))
    return host, port


def _reply(writer: asyncio.StreamWriter, code: int) -> None:
    writer.write(bytes((5, code, 0, _IPV4, 0, 0, 0, 0, 0, 0)))


def _note(where: dict[tuple[str, int], str], place: tuple[str, int], words: str) -> None:
    where.pop(place, None)
    where[place] = words
    if len(where) > MAX_TROUBLES:
        del where[next(iter(where))]


async def _joined(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    other_reader: asyncio.StreamReader,
    other_writer: asyncio.StreamWriter,
) -> None:
    """Carry both ways until both ends have said all, or one is gone."""
    ways = [
        asyncio.create_task(_carried(reader, other_writer)),
        asyncio.create_task(_carried(other_reader, writer)),
    ]
    try:
        await asyncio.gather(*ways)
    finally:
        for way in ways:
            way.cancel()
        other_writer.transport.abort()


async def _carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(65536):
        writer.write(part)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
