"""A gateway as a program calls it: HTTP, and nothing of what is said over it. What goes wrong is raised by its type."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from taskfleet.core import errors
from taskfleet.core.errors import (
    DuplicateTask,
    GatewayUnreachable,
    InputError,
    NotFound,
    NotPermitted,
    QueueFull,
    StoreAuthFailed,
    StoreError,
    TaskfleetError,
    UnknownModel,
)
from taskfleet.core.task import QueueKey
from taskfleet.providers.http import CONNECT_SECONDS, KEEPALIVE_SECONDS, no_answer

ANSWER_SECONDS = 60.0
UPLOAD_SECONDS = 3600.0
SILENT_SECONDS = 45.0  # a stream says something every 15 s, if only that nothing is new
JSONL = "application/x-ndjson"
_BY_CODE: Mapping[str, type[TaskfleetError]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TaskfleetError)
} | {"model_not_found": UnknownModel}

Body = bytes | AsyncIterator[bytes]


class GatewayHttp:
    """Pooled connections to the gateway at ``url``, for one queue."""

    def __init__(self, url: str, queue: QueueKey, api_key: str | None) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        key = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
            headers={"Accept-Encoding": "identity", "Taskfleet-Queue": str(queue), **key},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def get(self, path: str, **query: str) -> Any:
        """The JSON of an answer. Raises what the gateway says is wrong, GatewayUnreachable when it says nothing."""
        return await self._ask("GET", path, None, "", ANSWER_SECONDS, query)

    async def post(self, path: str, said: Mapping[str, Any], *, wait: float = 0.0) -> Any:
        """As ``get``. ``wait``: seconds for which the gateway itself is to wait."""
        return await self._ask("POST", path, orjson.dumps(said), "application/json", ANSWER_SECONDS + wait, {})

    async def upload(self, path: str, lines: Body, **query: str) -> Any:
        """As ``get``, of JSONL that is sent as it comes."""
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
            raise self._no_gateway(answer.status) from None

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
                        raise self._said(answer, data["error"])
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
                data=body,
                params=query,
                headers=headers,
                timeout=aiohttp.ClientTimeout(limits.total, sock_connect=CONNECT_SECONDS, sock_read=limits.sock_read),
                allow_redirects=False,  # they would carry the key away
            ) as answer:
                if answer.status >= 300:
                    raise self._refusal(answer, await answer.read())
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            why = f"the gateway at {self.url} cannot be used: {no_answer(error, seconds)}"
            raise GatewayUnreachable(f"{why}; start it (`taskfleet gateway`), or look at its address") from error

    def _refusal(self, answer: aiohttp.ClientResponse, body: bytes) -> TaskfleetError:
        try:
            said = orjson.loads(body)["error"]
            return self._said(answer, said)
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return self._no_gateway(answer.status)

    def _said(self, answer: aiohttp.ClientResponse, said: Mapping[str, Any]) -> TaskfleetError:
        code, words, headers = said["code"], str(said["message"]), answer.headers
        if answer.status == 401 or code in ("missing_api_key", "invalid_api_key"):
            return StoreAuthFailed(f"api_key: the gateway at {self.url} says: {words}")
        if answer.status == 403 or code == "not_permitted":
            return NotPermitted(words)
        if code == QueueFull.code:
            return QueueFull(words, retry_after=float(headers.get("Retry-After", "1")))
        if code == DuplicateTask.code:
            return DuplicateTask(headers.get("Taskfleet-Task", ""), words)
        kind = _BY_CODE.get(code)
        if kind is not None:
            return kind(words)
        return InputError(words) if answer.status < 500 else StoreError(words)

    def _no_gateway(self, status: int) -> TaskfleetError:
        words = f"what answers at {self.url} (HTTP {status})"
        if status in (502, 503, 504):  # of a proxy before it
            return GatewayUnreachable(f"{words} cannot reach its gateway; try again when it runs")
        return NotFound(f"url: {words} is no gateway of Taskfleet; give its address, such as http://HOST:8420")

    async def close(self) -> None:
        await self._session.close()
        await asyncio.sleep(0)  # lets the transports close before the loop does


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[str]:
    """Lines of any length."""
    begun = b""
    async for part in content.iter_any():
        *lines, begun = (begun + part).split(b"\n")
        for line in lines:
            yield line.decode()
