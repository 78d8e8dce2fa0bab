"""The client of the gateway's benchmarks: as many callers as asked, each with a connection that it keeps.

Hand-written, so that what it costs itself is the same small part of every figure.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

KEY = "sk-bench"
ANSWER_SECONDS = 60.0
_MESSAGES = [{"role": "user", "content": "x" * 900}]


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of calls came to: seconds in all, and of each call."""

    seconds: float
    latencies: Sequence[float]

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def milliseconds(self, share: float) -> float:
        """The latency that this share of the calls stays under."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Caller:
    """One connection. Raises RuntimeError for an answer that is no 200."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: str) -> None:
        self._reader = reader
        self._writer = writer
        self._place = place

    @classmethod
    async def connect(cls, url: str) -> "Caller":
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        return cls(reader, writer, parts.netloc)

    async def post(self, body: bytes) -> bytes:
        """The whole answer to a chat."""
        await self.begin(body)
        length = int(self.head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return await self._reader.readexactly(length)

    async def begin(self, body: bytes) -> None:
        """Send a chat, and wait for the head of its answer."""
        self._writer.write(self._request(body))
        self.head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in self.head[:16]:
            raise RuntimeError(f"the answer was {self.head!r} {await self._reader.read(2000)!r}")

    async def send_half(self, body: bytes) -> None:
        """Send the first half of a chat."""
        request = self._request(body)
        self._writer.write(request[: len(request) // 2])
        await self._writer.drain()

    def _request(self, body: bytes) -> bytes:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {self._place}\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def line(self) -> bytes:
        """The next line of an answer that is streamed; b"" at its end."""
        return await self._reader.readline()

    def close(self) -> None:
        self._writer.close()


def chat(**more: object) -> bytes:
    """About 1 KB, as a short prompt is."""
    return orjson.dumps({"model": "stub", "messages": _MESSAGES, **more})


async def load(url: str, callers: int, calls: int) -> Load:
    """``calls`` chats by so many callers, each waiting for its answer before its next."""
    there = [await Caller.connect(url) for _ in range(callers)]
    left, body = iter(range(calls)), chat()
    latencies: list[float] = []

    async def keep_calling(caller: Caller) -> None:
        for _ in left:
            began = time.perf_counter()
            await caller.post(body)
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with asyncio.timeout(ANSWER_SECONDS * (1 + calls / callers / 10)):
        await asyncio.gather(*map(keep_calling, there))
    seconds = time.perf_counter() - began
    for caller in there:
        caller.close()
    return Load(seconds, latencies)


async def fitting(url: str, callers: int, seconds: float) -> int:
    """How many calls fit into so long, found by a warm-up that takes about a third of it."""
    few = await load(url, callers, 4 * callers)
    more = await load(url, callers, max(2 * callers, int(few.rate * seconds / 3)))
    return max(20, 2 * callers, int(more.rate * seconds))
