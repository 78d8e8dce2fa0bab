"""Posts one message to a receiver outside, and to nobody else: not to what a name of it leads to inside our network."""

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import httpx
import orjson

from taskfleet.api.webhooks import Webhook
from taskfleet.core.addresses import is_public, plain
from taskfleet.core.webhooks import signed_headers

POST_SECONDS = 15.0
_GONE = 410


class NotDelivered(Exception):
    """Why a message was not taken, in words. ``for_good``: it never will be."""

    def __init__(self, words: str, *, for_good: bool = False) -> None:
        super().__init__(words)
        self.for_good = for_good


class Poster:
    """Close it at the end."""

    @cached_property
    def _http(self) -> httpx.AsyncClient:
        """Made for the first message: a gateway that posts none need not load all the authorities that are trusted."""
        trusted = ssl.create_default_context()
        # No proxy of the environment: it would look the name up once more, and find another address.
        return httpx.AsyncClient(verify=trusted, timeout=POST_SECONDS, trust_env=False, follow_redirects=False)

    async def close(self) -> None:
        if "_http" in vars(self):
            await self._http.aclose()

    async def post(self, hook: Webhook, identity: str, event: Mapping[str, Any]) -> None:
        """Raises NotDelivered."""
        body = orjson.dumps(event)
        headers = {
            **signed_headers(hook.secret, identity, round(time.time()), body),
            "content-type": "application/json",
            "user-agent": "taskfleet-gateway",
        }
        try:
            async with asyncio.timeout(POST_SECONDS):
                status = await self._status(hook, headers, body)
        except TimeoutError:
            raise NotDelivered(f"no answer within {POST_SECONDS:g} s") from None
        except httpx.HTTPError as error:
            raise NotDelivered(f"no answer: {error or type(error).__name__}") from error
        if status == _GONE:
            raise NotDelivered("it answered 410: it wants no more of it", for_good=True)
        if 300 <= status < 400:
            raise NotDelivered(f"it answered {status}, and redirects are not followed; give the URL where it is")
        if not 200 <= status < 300:
            raise NotDelivered(f"it answered {status}")

    async def _status(self, hook: Webhook, headers: Mapping[str, str], body: bytes) -> int:
        url = httpx.URL(hook.url)
        failed: httpx.ConnectError | None = None
        for address in await _addresses(url, allow_private=hook.allow_private):
            # What was checked is what is called; the name is for TLS and for the server.
            there = url.copy_with(host=address)
            named = {**headers, "host": url.netloc.decode("ascii")}
            try:
                request = self._http.build_request(
                    "POST", there, headers=named, content=body, extensions={"sni_hostname": url.host}
                )
                answer = await self._http.send(request, stream=True)
            except httpx.ConnectError as error:
                failed = error
                continue
            await answer.aclose()  # what it says besides is read by nobody
            return answer.status_code
        raise failed or NotDelivered(f"the name {url.host} has no address")


async def _addresses(url: httpx.URL, *, allow_private: bool) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port or 0, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotDelivered(f"the name {url.host} cannot be resolved: {error.strerror}") from error
    addresses = list(dict.fromkeys(str(ipaddress.ip_address(str(each[4][0]).partition("%")[0])) for each in found))
    inside = next((address for address in addresses if not is_public(plain(address))), None)
    if inside is not None and not allow_private:
        raise NotDelivered(f"{url.host} is {inside}, no address of the internet; allowPrivate: true would allow it")
    return addresses
