"""Clients that mean no good: endless heads, heads that never come, rubbish, and tricks with lengths."""

import asyncio

import pytest

from taskfleet.gateway import connections
from tests.gateway.conftest import Site


async def talk(site: Site, *parts: bytes, seconds: float = 5.0) -> bytes:
    """All that comes back on one connection until the gateway closes it."""
    host, port = site.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
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
