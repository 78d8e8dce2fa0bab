"""Clients that mean no good: endless heads, heads that never come, rubbish, and tricks with lengths."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from taskfleet.gateway import bodies, connections
from taskfleet.gateway.connections import BoundedHttp
from tests.gateway.conftest import Site
from tests.gateway.test_keys import ONE, write
from tests.support.waiting import eventually


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return write(tmp_path / "keys.yaml", ONE)


def address(site: Site) -> tuple[str, int]:
    host, port = site.url.removeprefix("http://").split(":")
    return host, int(port)


async def connect(site: Site) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*address(site))


async def talk(site: Site, *parts: bytes, seconds: float = 5.0) -> bytes:
    """All that comes back on one connection until the gateway closes it."""
    reader, writer = await connect(site)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), seconds)
    finally:
        writer.close()


async def test_a_head_without_end_is_refused(site: Site) -> None:
    flood = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(66))
    said = await talk(site, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n", flood)
    assert said.startswith(b"HTTP/1.1 431 "), said[:200]
    assert b'"code":"head_too_large"' in said
    assert (await site.get("/healthz")).status_code == 200


@pytest.mark.parametrize("part", [b"", b"GET /v1/mod", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
async def test_a_head_that_never_comes_is_not_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    assert await talk(site, part) == b""


async def test_a_slow_head_after_a_good_request_is_not_waited_for_either(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    said = await talk(site, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /heal")
    assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"hello\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nabcde",
        b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nabcde",
        b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_rubbish_is_a_400_and_the_end(site: Site, rubbish: bytes) -> None:
    said = await talk(site, rubbish)
    assert said.startswith(b"HTTP/1.1 400 "), said[:100]
    assert (await site.get("/healthz")).status_code == 200


HEAD = b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\n"
INNER = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


SMUGGLED = [
    HEAD + b"Content-Length: 0, 0\r\n\r\n" + INNER,
    HEAD + b"Content-Length: +5\r\n\r\nabcde" + INNER,
    HEAD + b"Content-Length: 0x5\r\n\r\nabcde" + INNER,
    HEAD + b"Content-Length: 5 5\r\n\r\nabcde" + INNER,
    HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + INNER,
    HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + INNER,
    HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + INNER,
    HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
    HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + INNER,
    HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + INNER,
    HEAD + b"X: a\r\n Content-Length: 5\r\n\r\nabcde" + INNER,
    HEAD + b"X: a\nContent-Length: 5\r\n\r\nabcde" + INNER,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + INNER,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + INNER,
    HEAD + b"X\x00: a\r\n\r\n" + INNER,
]


async def test_no_request_hides_in_the_body_of_another(site: Site) -> None:
    """Where one program takes for a body what the next takes for a request, the second is nobody's that was checked."""
    for shape in SMUGGLED:
        said = await talk(site, shape)
        assert said.startswith(b"HTTP/1.1 400 "), (shape, said[:200])
        assert said.count(b"HTTP/1.1") == 1, (shape, said)


async def test_of_a_stream_only_the_head_is_asked_for(site: Site) -> None:
    await site.post("/v1/tasks", {"id": "t", "prompt": "x"})
    for path in ("/v1/tasks/t/events", f"/v1/queues/{site.queue}/events", "/v1/overview"):
        head = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        said = await talk(site, head + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"text/event-stream" in said
        assert said.count(b"HTTP/1.1 200 ") == 2
        assert said.endswith(b"ok\n"), "the next request is not kept waiting"


async def test_trailers_without_end_are_cut_off(site: Site) -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    for trailer in (b"X: %s\r\n" % (b"y" * 1000), b"y" * 1000):
        with contextlib.suppress(ConnectionError):
            said = await talk(site, chunked + (b"" if trailer[:1] == b"X" else b"X: "), *[trailer] * 200)
            assert b" 500 " not in said
    assert (await site.get("/healthz")).status_code == 200


async def test_a_body_that_comes_byte_by_byte_is_no_flood(site: Site) -> None:
    body = b'{"prompt": "' + b"x" * 20_000 + b'"}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    said = await talk(site, HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n", chunks)
    assert said.startswith(b"HTTP/1.1 202 "), said[:200]


async def test_who_is_refused_cannot_go_on_sending(locked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_REST_BYTES", 2**20)
    with contextlib.suppress(ConnectionError):
        said = await talk(locked, HEAD + b"Content-Length: 9000000\r\n\r\n", *[b"x" * 100_000] * 80)
        assert said.startswith(b"HTTP/1.1 401 ")
    assert (await locked.get("/healthz")).status_code == 200


@pytest.mark.parametrize("part", [b"", b"x"])
async def test_who_is_refused_and_sends_no_more_of_a_body_is_not_waited_for(
    locked: Site, monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    monkeypatch.setattr(connections, "REST_SECONDS", 0.3)
    reader, writer = await connect(locked)
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n")
    assert (await asyncio.wait_for(reader.readuntil(b"}}"), 5)).startswith(b"HTTP/1.1 401 ")
    writer.write(part)
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 4) == b""
    writer.close()


async def test_who_is_refused_early_may_send_another_request_behind_the_rest(locked: Site) -> None:
    reader, writer = await connect(locked)
    writer.write(HEAD + b"Content-Length: 10\r\n\r\n")
    assert (await asyncio.wait_for(reader.readuntil(b"}}"), 5)).startswith(b"HTTP/1.1 401 ")
    writer.write(b"x" * 10 + INNER)
    assert (await asyncio.wait_for(reader.readuntil(b"ok\n"), 5)).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_body_that_drips_is_a_408(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.3)
    said = await talk(site, HEAD + b"Content-Length: 1000\r\n\r\n{")
    assert said.startswith(b"HTTP/1.1 408 "), said
    assert b'"code":"body_timeout"' in said


async def test_a_client_that_never_reads_is_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[BoundedHttp] = []

    def leave(connection: BoundedHttp) -> None:
        left.append(connection)
        connection.transport.abort()

    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.3)
    monkeypatch.setattr(BoundedHttp, "_abort", leave)
    size = 40 * 2**20
    big = await site.http.post("/v1/files", files={"purpose": (None, "batch"), "file": ("a", bytes(size))})
    reader, writer = await asyncio.open_connection(*address(site))
    writer.write(f"GET /v1/files/{big.json()['id']}/content HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await eventually(lambda: left, "the gateway to leave it")
    with contextlib.suppress(ConnectionError):
        assert len(await asyncio.wait_for(reader.read(), 5)) < size
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    assert (await site.get("/healthz")).status_code == 200


async def test_many_that_are_slow_keep_nobody_else_waiting(site: Site) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for number in range(200):
            _, writer = await connect(site)
            stack.callback(writer.close)
            writer.write((b"GET /healthz HTTP/1.1\r\nX: ", HEAD + b"Content-Length: 1000\r\n\r\n{")[number % 2])
        assert (await site.post("/v1/tasks", {"prompt": "Hi"})).status_code == 202
