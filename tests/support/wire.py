"""A wire to a real server that a test can freeze or reset, on which it can change words, or that adds TLS.

``python wire.py PORT SERVER_PORT CERTIFICATE KEY`` adds TLS in a pod: it needs the standard library alone.
"""

import asyncio
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from typing import Self


class Wire:
    """A TCP relay to a server of this machine. ``replace``: words of the server to change (of equal length, lest a
    reply break). ``lets_through`` is asked about all that clients say before it arrives; False ends the connection.
    ``tls``: clients speak it, and the server does not, as the wheel's Valkey was built without. ``at``: its own place.
    """

    def __init__(
        self,
        server_port: int,
        *,
        replace: tuple[bytes, bytes] = (b"", b""),
        lets_through: Callable[[bytes], bool] | None = None,
        tls: ssl.SSLContext | None = None,
        at: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self._server_port = server_port
        self._lets_through = lets_through
        self._tls = tls
        self._at = at
        self._old, self._new = replace
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.connections = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._join, *self._at, ssl=self._tls)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    def freeze(self) -> None:
        """Connections stay open, and nothing that is said arrives."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def reset(self) -> None:
        """All connections end as if a router had forgotten them."""
        for writer in self._writers:
            if not writer.is_closing():
                end = writer.get_extra_info("socket")
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:  # there is no server now
            writer.close()
            return
        for source, sink, lets_through in ((reader, up_writer, self._lets_through), (up_reader, writer, None)):
            self._writers.append(sink)
            task = asyncio.create_task(self._carry(source, sink, lets_through))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, lets_through: Callable[[bytes], bool] | None
    ) -> None:
        try:
            while (data := await source.read(65536)) and (lets_through is None or lets_through(data)):
                await self._flowing.wait()
                sink.write(data.replace(self._old, self._new) if self._old else data)
                await sink.drain()
        except OSError:
            return  # one side is gone, and closing tells the other
        finally:
            sink.close()


async def _add_tls(port: int, server_port: int, certificate: str, key: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with Wire(server_port, tls=context, at=("0.0.0.0", port)):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_add_tls(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
