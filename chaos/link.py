"""The network between someone and the store: a small TCP proxy that can be cut, silenced, slowed and half closed."""

import asyncio
import socket
import struct
from enum import Enum, auto

CHUNK = 65536


class Condition(Enum):
    """How a link is."""

    GOOD = auto()
    CUT = auto()  # all connections are reset, and new ones too
    SILENT = auto()  # connections stay, and nothing comes through until it is good again
    SLOW = auto()  # every piece comes ``delay`` seconds later
    HALF_CLOSED = auto()  # what is asked arrives and is done, and in place of its answer the connection ends


class Link:
    """Listens on ``port`` and passes on to ``target``, another port of this machine."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._condition = Condition.GOOD
        self._delay = 0.0
        self._passing = asyncio.Event()
        self._passing.set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._half_closed: set[asyncio.StreamWriter] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self._reset_all()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    def become(self, condition: Condition, *, delay: float = 0.0) -> None:
        """Change it now, for connections that are there as well."""
        self._condition, self._delay = condition, delay
        (self._passing.clear if condition is Condition.SILENT else self._passing.set)()
        if condition is Condition.CUT:
            self._reset_all()

    def _reset_all(self) -> None:
        for client in self._clients:
            _reset(client)

    def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        job = asyncio.create_task(self._serve(reader, client))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            if self._condition is not Condition.CUT:
                await self._connect(reader, client)
        except OSError:
            pass  # the store is down: whoever asks sees its connection reset
        finally:
            _reset(client)

    async def _connect(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        answers, store = await asyncio.open_connection("127.0.0.1", self._target)
        self._clients.add(client)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._ask(reader, store))
                both.create_task(self._answer(answers, client))
        except* OSError:
            pass  # one side went away
        finally:
            self._clients.discard(client)
            self._half_closed.discard(client)
            store.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, store: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._way()
            await _write(store, data)
        raise ConnectionResetError  # the client hung up

    async def _answer(self, answers: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await answers.read(CHUNK):
            await self._way()
            if self._condition is Condition.HALF_CLOSED:
                self._end_answers(client)
            if client not in self._half_closed:
                await _write(client, data)
        raise ConnectionResetError  # the store hung up

    def _end_answers(self, client: asyncio.StreamWriter) -> None:
        if client not in self._half_closed and not client.is_closing():
            self._half_closed.add(client)
            client.write_eof()

    async def _way(self) -> None:
        await self._passing.wait()
        if self._delay:
            await asyncio.sleep(self._delay)


def _reset(client: asyncio.StreamWriter) -> None:
    """Close it as a firewall does: not with an end of data, which a client would take for a goodbye."""
    if not client.is_closing():
        client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.transport.abort()


async def _write(side: asyncio.StreamWriter, data: bytes) -> None:
    """ConnectionResetError when that side is gone, which uvloop has an error of its own for."""
    if side.is_closing():
        raise ConnectionResetError
    side.write(data)
    await side.drain()
