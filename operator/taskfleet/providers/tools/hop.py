"""One request to one server: the connection is ours, so that each part of it can be checked and timed."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace

from taskfleet.providers.dialing import tls_context
from taskfleet.providers.tools.certificate import described, shown_by
from taskfleet.providers.tools.dialer import Dialer


@dataclass(slots=True)
class Hop:
    """What is known of one request so far; ``trouble``: why there is no connection. Times in seconds."""

    timing: dict[str, float] = field(default_factory=dict)
    tls: Mapping[str, Any] | None = None
    trouble: Exception | None = None
    connected_at: float = 0.0


class CheckedConnector(aiohttp.BaseConnector):
    """Connects once, through a ``Dialer``, and writes into ``hop`` how that went."""

    def __init__(self, dialer: Dialer, hop: Hop) -> None:
        super().__init__(force_close=True)
        self._dialer = dialer
        self._hop = hop

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  aiohttp's; the whole call has ours
    ) -> ResponseHandler:
        try:
            return await self._connected(req.url.raw_host or "", req.url.port or 0, req.url.scheme == "https")
        except Exception as error:
            self._hop.trouble = error
            raise

    async def _connected(self, host: str, port: int, is_tls: bool) -> ResponseHandler:
        hop, loop = self._hop, asyncio.get_running_loop()
        dialled = await self._dialer.dial(host, port)
        hop.timing |= {"dns": dialled.dns_seconds, "connect": dialled.connect_seconds}
        began = time.monotonic()
        try:
            transport, protocol = await loop.create_connection(
                self._factory,
                sock=dialled.sock,
                ssl=tls_context() if is_tls else None,
                server_hostname=host if is_tls else None,
            )
        except ssl.SSLCertVerificationError as error:
            der = await shown_by(dialled.address, port, host)
            reason = error.verify_message or "it is not trusted"
            hop.tls = described(der, reason) if der else {"valid": False, "reason": reason}
            raise
        except BaseException:
            with contextlib.suppress(OSError):  # the loop may have it already
                dialled.sock.close()
            raise
        hop.connected_at = time.monotonic()
        if is_tls:
            hop.timing["tls"] = hop.connected_at - began
            shown = transport.get_extra_info("ssl_object")
            hop.tls = {**described(shown.getpeercert(binary_form=True)), "version": shown.version()}
        return protocol
