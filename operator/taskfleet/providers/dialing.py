"""Opens connections to one server: its addresses in turn, TLS where its URL says so, and words for what goes wrong."""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from aiohappyeyeballs import start_connection
from yarl import URL

from taskfleet.providers.answer import NoAnswer

SECOND_ADDRESS_AFTER = 0.25  # seconds, RFC 8305

P = TypeVar("P", bound=asyncio.Protocol)


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Trusts the system's store and SSL_CERT_FILE; reading them takes milliseconds, so once in a process."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialer:
    """Dials the server of ``url``; whole within ``timeout`` seconds."""

    def __init__(self, url: URL, timeout: float) -> None:
        self._host, self._port = url.raw_host or "", url.port or 0
        self._shown = f"{url.host_subcomponent}:{url.port}"
        self._is_tls = url.scheme == "https"
        self._timeout = timeout

    async def dial(self, protocol: Callable[[], P]) -> P:
        """Raises NoAnswer."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._open(protocol)
        except TimeoutError as error:
            raise NoAnswer("connect_timeout", "no connection in time", connected=False) from error
        except OSError as error:
            raise self._no_connection(error) from error

    async def _open(self, protocol: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        connected = await start_connection(
            addresses, happy_eyeballs_delay=SECOND_ADDRESS_AFTER, interleave=1 if len(addresses) > 1 else None
        )
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = tls_context() if self._is_tls else None
        name = self._host if self._is_tls else None
        try:
            _, opened = await loop.create_connection(protocol, sock=connected, ssl=tls, server_hostname=name)
        except BaseException:
            with contextlib.suppress(OSError):  # the loop may have it already
                connected.close()
            raise
        return opened

    def _no_connection(self, error: OSError) -> NoAnswer:
        match error:
            case socket.gaierror():
                return NoAnswer("dns_failure", f"the host name {self._host!r} was not found", connected=False)
            case ssl.SSLError():
                return tls_failure(error)
            case ConnectionRefusedError():
                return NoAnswer("connection_refused", f"{self._shown} refused the connection", connected=False)
            case _:
                words = f"{self._shown} cannot be reached: {error.strerror or error}"
                return NoAnswer("unreachable", words, connected=False)


def tls_failure(error: ssl.SSLError) -> NoAnswer:
    if isinstance(error, ssl.SSLCertVerificationError):
        return NoAnswer("tls_failure", f"the server's certificate is not trusted: {error}", connected=False)
    return NoAnswer("tls_failure", f"TLS failed: {error}", connected=False)
