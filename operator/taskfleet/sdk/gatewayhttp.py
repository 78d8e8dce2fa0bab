"""A gateway as a program calls it: HTTP, and nothing of what is said over it. What goes wrong is raised by its type."""

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from taskfleet.core.task import QueueKey
from taskfleet.sdk.gatewaytroubles import no_gateway, refusal, unreachable

CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = 4.0  # below the 5 s after which a gateway closes an idle connection: no call is to meet that moment
ANSWER_SECONDS = 60.0
UPLOAD_SECONDS = 3600.0
SILENT_SECONDS = 45.0  # a stream says something every 15 s, if only that nothing is new
AT_ONCE_BYTES = 2**18  # of a larger body others on the loop have a turn between its parts
JSONL = "application/x-ndjson"

Body = bytes | AsyncIterator[bytes]


class GatewayHttp:
    """Pooled connections to the gateway at ``url``, for one queue. Every call raises what the gateway says is wrong,
    and GatewayUnreachable when it says nothing. ``queue``: the path of the queue's own calls."""

    def __init__(self, url: str, queue: QueueKey, api_key: str | None) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.queue = f"/v1/queues/{quote(str(queue))}"
        key = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
            headers={"Accept-Encoding": "identity", "Taskfleet-Queue": str(queue), **key},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def get(self, path: str, **query: str) -> Any:
        """The JSON of an answer."""
        return await self._ask("GET", path, None, "", ANSWER_SECONDS, query)

    async def post(self, path: str, said: Mapping[str, Any]) -> Any:
        return await self._ask("POST", path, orjson.dumps(said), "application/json", ANSWER_SECONDS, {})

    async def upload(self, path: str, lines: Body, **query: str) -> Any:
        """POST JSONL, sent as it comes."""
        return await self._ask("POST", path, lines, JSONL, UPLOAD_SECONDS, query)

    async def delete(self, path: str) -> Any:
        return await self._ask("DELETE", path, None, "", ANSWER_SECONDS, {})

    async def _ask(
        self, method: str, path: str, body: Body | None, kind: str, seconds: float, query: Mapping[str, str]
    ) -> Any:
        async with self._answer(method, path, body, kind, aiohttp.ClientTimeout(total=seconds), query) as answer:
            whole = await answer.read()
        try:
            return orjson.loads(whole)
        except orjson.JSONDecodeError:
            raise no_gateway(self.url, answer.status) from None

    async def events(self, path: str, *, after: str = "", **query: str) -> AsyncIterator[tuple[str, str, Any]]:
        """Server-sent events: the kind, the id and the data of each. Ends where the gateway ends it."""
        limits = aiohttp.ClientTimeout(total=None, sock_read=SILENT_SECONDS)
        headers = {"Last-Event-ID": after} if after else {}
        async with self._answer("GET", path, None, "", limits, query, headers) as answer:
            event: dict[str, str] = {}
            async for raw in _lines(answer.content):
                name, _, value = raw.partition(":")
                if raw == "" and "data" in event:
                    data = orjson.loads(event["data"])
                    if "event" not in event and isinstance(data, dict) and "error" in data:
                        raise refusal(self.url, answer.status, answer.headers, data)
                    yield event.get("event", ""), event.get("id", ""), data
                    event = {}
                elif name:
                    event[name] = value.removeprefix(" ")

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        body: Body | None,
        kind: str,
        limits: aiohttp.ClientTimeout,
        query: Mapping[str, str],
        more: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {**(more or {}), **({"Content-Type": kind} if kind else {})}
        seconds = limits.total or limits.sock_read or 0.0
        try:
            async with self._session.request(
                method,
                self.url + path,
                data=io.BytesIO(body) if isinstance(body, bytes) and len(body) > AT_ONCE_BYTES else body,
                params=query,
                headers=headers,
                timeout=aiohttp.ClientTimeout(limits.total, sock_connect=CONNECT_SECONDS, sock_read=limits.sock_read),
                allow_redirects=False,  # they would carry the key away
            ) as answer:
                if answer.status >= 300:
                    raise refusal(self.url, answer.status, answer.headers, _json(await answer.read()))
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise unreachable(self.url, error, seconds) from error

    async def close(self) -> None:
        await self._session.close()
        await asyncio.sleep(0)  # lets the transports close before the loop does


def _json(body: bytes) -> Any:
    """What it says; None when that is no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[str]:
    """Lines of any length."""
    begun = b""
    async for part in content.iter_any():
        *lines, begun = (begun + part).split(b"\n")
        for line in lines:
            yield line.decode()
