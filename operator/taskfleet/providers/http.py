"""The worker's HTTP client: calls to one server over kept-alive connections (see docs/adr/0003-http-client.md).

Every way in which a connection can fail is a ``NoAnswer`` with a code and a sentence. Answers of any status are
returned as they are.
"""

import asyncio
from collections.abc import Mapping

from yarl import URL

from taskfleet.providers.answer import Answer, NoAnswer
from taskfleet.providers.connection import Connection
from taskfleet.providers.dialing import Dialer
from taskfleet.providers.incoming import Line

CONNECT_SECONDS = 10.0
MAX_ANSWER_BYTES = 32 * 2**20
# Below the 5 s after which uvicorn and llama.cpp close an idle connection: a call must not meet that moment.
KEEPALIVE_SECONDS = 4.0
NOT_IN_A_HEADER = frozenset("\r\n\0")


class HttpClient:
    """One server's connections: as many as there are calls, which the worker's slots bound.

    ``headers`` go with every call; ``api_key`` is what they may hold and no message may show.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        headers: Mapping[str, str] | None = None,
        connect_timeout: float = CONNECT_SECONDS,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._url = URL(url.rstrip("/"))
        self._key = api_key.encode()
        self._headers = headers or {}
        self._dialer = Dialer(self._url, connect_timeout)
        self._max_answer_bytes = max_answer_bytes
        self._heads: dict[str, bytes] = {}
        self._idle: list[Connection] = []  # the longest idle first
        self._busy: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None

    async def post(
        self,
        path: str,
        body: bytes,
        timeout: float,  # noqa: ASYNC109  a timer of the loop is cheaper
        line: Line | None = None,
    ) -> Answer:
        """POST JSON; ``timeout`` seconds are for the answer. Redirects are not followed: they would carry the key away.

        ``line`` gets each line of a 200 that is a stream, as it comes; what it raises ends the call. Raises NoAnswer.
        """
        head = self._heads.get(path) or self._head(path)
        connection = self._kept() or await self._dialer.dial(Connection)
        self._busy.add(connection)
        try:
            request = (head + b"%d\r\n\r\n" % len(body), body)
            answer = await connection.exchange(request, timeout, self._max_answer_bytes, line)
        finally:
            self._busy.discard(connection)
        if connection.open:
            self._keep(connection)
        if answer.status == 200:
            return answer
        return Answer(answer.status, answer.headers, self.redact(answer.body))

    def redact(self, body: bytes) -> bytes:
        """What may be shown of a refusal: some servers repeat the key that they refuse."""
        return body.replace(self._key, b"***") if self._key else body

    async def close(self) -> None:
        """Running calls end with NoAnswer."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()
        await asyncio.sleep(0)  # lets the transports close before the loop does

    def _head(self, path: str) -> bytes:
        """All of it but the body's length."""
        fields = {
            "Host": self._url.host_port_subcomponent or "",
            "User-Agent": "taskfleet",
            "Content-Type": "application/json",
            "Accept": "application/json",
            # Compressed, an answer's size would not be known from its length, and locally it costs more time.
            "Accept-Encoding": "identity",
            **self._headers,
        }
        for name, value in fields.items():
            if NOT_IN_A_HEADER.intersection(value):
                words = f"the header {name} cannot be sent: there is a line break in its value, or in the API key's"
                raise NoAnswer("bad_header", words, connected=False)
        lines = [f"POST {self._url.raw_path.rstrip('/')}{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        head = self._heads[path] = "\r\n".join([*lines, "Content-Length: "]).encode()
        return head

    def _kept(self) -> Connection | None:
        """The newest of those that are idle: the others may get old."""
        oldest = asyncio.get_running_loop().time() - KEEPALIVE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.open and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    def _keep(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(KEEPALIVE_SECONDS, self._close_the_old)

    def _close_the_old(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - KEEPALIVE_SECONDS
        young = [each for each in self._idle if each.open and each.idle_since > oldest]
        for connection in set(self._idle) - set(young):
            connection.close()
        self._idle = young
        self._sweep = loop.call_later(KEEPALIVE_SECONDS, self._close_the_old) if young else None
