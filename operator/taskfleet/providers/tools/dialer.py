"""Connections of tools: a name is resolved once, its addresses are checked, and one of these is connected to.

So a name that means another address a moment later (DNS rebinding) gains nothing.
"""

import asyncio
import socket
import time
from dataclasses import dataclass

from aiohappyeyeballs import start_connection

from taskfleet.api.toolsettings import NetworkSettings
from taskfleet.core.errors import InputError
from taskfleet.providers.dialing import SECOND_ADDRESS_AFTER
from taskfleet.providers.tools.addresses import AddressRefused, AddressRules


@dataclass(frozen=True, slots=True)
class Dialled:
    """An open connection; times in seconds."""

    sock: socket.socket
    address: str
    dns_seconds: float
    connect_seconds: float


class Dialer:
    """Dials what an endpoint's settings allow."""

    def __init__(self, settings: NetworkSettings) -> None:
        """Raises InputError."""
        try:
            self._rules = AddressRules(settings.allowed_hosts, settings.allowed_networks)
        except ValueError as error:
            raise InputError(f"tools.network: {error}") from error

    async def dial(self, host: str, port: int) -> Dialled:
        """Raises AddressRefused, and OSError with ``socket.gaierror`` for a name that is not found."""
        self._rules.check_host(host)
        began = time.monotonic()
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:  # a label that is empty or too long
            raise socket.gaierror(socket.EAI_NONAME, "not a host name") from error
        allowed, refusal = [], None
        for info in found:
            try:
                self._rules.check(host, str(info[4][0]))
            except AddressRefused as refused:
                refusal = refused
            else:
                allowed.append(info)
        if refusal is not None and not allowed:
            raise refusal
        resolved = time.monotonic()
        delay = SECOND_ADDRESS_AFTER if len(allowed) > 1 else None
        sock = await start_connection(allowed, happy_eyeballs_delay=delay, interleave=1 if delay else None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Dialled(sock, sock.getpeername()[0], resolved - began, time.monotonic() - resolved)
