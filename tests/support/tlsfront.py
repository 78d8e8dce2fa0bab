"""TLS in front of a server that speaks none, as the Valkey of the wheel was built without it.

``python tlsfront.py PORT SERVER_PORT CERTIFICATE KEY`` runs it in a pod: it needs the standard library alone.
"""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def with_tls(
    server_port: int, context: ssl.SSLContext, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[int]:
    """The port on which the server of this machine is with TLS; 0 takes any free one."""
    carrying: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            return  # one side is gone, and closing tells the other
        finally:
            writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server_port)
        except OSError:
            writer.close()
            return
        for source, sink in ((reader, inner_writer), (inner_reader, writer)):
            task = asyncio.create_task(carry(source, sink))
            carrying.add(task)
            task.add_done_callback(carrying.discard)

    listening = await asyncio.start_server(join, host, port, ssl=context)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)


async def main(port: int, server_port: int, certificate: str, key: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with with_tls(server_port, context, "0.0.0.0", port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
