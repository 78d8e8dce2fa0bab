"""A model server that costs next to nothing: what a gateway adds is not to drown in it.

``python -m benchmarks.gateway_stub --latency 0.02 [--chunks 20]`` prints its URL. It answers every chat after
``latency`` seconds, whole or, with ``stream``, in ``chunks`` numbered pieces, one each ``latency``.
"""

import argparse
import asyncio

import orjson
import uvloop

_USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "x" * 250}, "finish_reason": "stop"}
_ANSWER = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "stub"}
_WHOLE = orjson.dumps({**_ANSWER, "choices": [_CHOICE], "usage": _USAGE})
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_LENGTH = b"content-length:"


class ModelServer(asyncio.Protocol):
    """One connection of a client that sends well-formed requests, one at a time."""

    def __init__(self, latency: float, chunks: int) -> None:
        self._latency = latency
        self._chunks = chunks
        self._unread = b""
        self._told = 0
        self._transport: asyncio.Transport
        self._next: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvloop's is none
        self._transport = transport

    def connection_lost(self, _why: Exception | None) -> None:
        if self._next is not None:
            self._next.cancel()

    def data_received(self, data: bytes) -> None:
        self._unread += data
        head, found, body = self._unread.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower()
        length = int(lowered.partition(_LENGTH)[2].partition(b"\r\n")[0]) if _LENGTH in lowered else 0
        if len(body) < length:
            return
        self._unread = b""
        respond = self._tell if b'"stream":true' in body else self._answer
        if self._latency:
            self._next = asyncio.get_running_loop().call_later(self._latency, respond)
        else:
            respond()

    def _answer(self) -> None:
        self._transport.write(_HEAD % len(_WHOLE) + _WHOLE)

    def _tell(self) -> None:
        """The next piece, and the end behind the last."""
        if self._told == 0:
            self._transport.write(_STREAM)
        self._transport.write(_chunk({"content": f"{self._told} "}, None))
        self._told += 1
        if self._told < self._chunks:
            self._next = asyncio.get_running_loop().call_later(self._latency, self._tell)
            return
        self._told = 0
        self._transport.write(_chunk({}, "stop") + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _chunk(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _framed(b"data: " + orjson.dumps({**_ANSWER, "choices": [choice]}) + b"\n\n")


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def serve(latency: float, chunks: int) -> None:
    """Print the URL, and serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(
        lambda: ModelServer(latency, chunks), "127.0.0.1", 0, backlog=2048
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


def main() -> None:
    own = argparse.ArgumentParser(description=__doc__)
    own.add_argument("--latency", type=float, default=0.0)
    own.add_argument("--chunks", type=int, default=20)
    options = own.parse_args()
    uvloop.run(serve(options.latency, options.chunks))


if __name__ == "__main__":
    main()
