"""A connection that a client keeps for its next request stays open until the client lets go of it."""

import asyncio
from typing import Any

import aiohttp
import httpx
import openai
import pytest

from taskfleet.gateway import connections
from taskfleet.gateway.connections import BoundedHttp
from tests.gateway.conftest import Site
from tests.gateway.test_hostile import connect


async def test_idle_connections_outlive_those_of_usual_clients(site: Site) -> None:
    async with aiohttp.TCPConnector() as connector:
        for theirs in (
            httpx.Limits().keepalive_expiry,
            openai.DEFAULT_CONNECTION_LIMITS.keepalive_expiry,
            connector._keepalive_timeout,
        ):
            assert theirs is not None
            assert 2 * theirs < connections.IDLE_SECONDS


async def test_an_answer_is_one_writing_with_its_head(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    def opened(connection: BoundedHttp, transport: asyncio.Transport) -> None:
        class Seen:
            def __getattr__(self, name: str) -> Any:
                return getattr(transport, name)

            def write(self, data: bytes) -> None:
                written.append(data)
                transport.write(data)

        made(connection, Seen())

    made: Any = BoundedHttp.connection_made
    monkeypatch.setattr(BoundedHttp, "connection_made", opened)
    assert (await site.get("/healthz")).text == "ok\n"
    assert (await site.http.head("/healthz")).status_code == 200
    asked = await site.post("/v1/tasks", {"prompt": "x"}, headers={"Expect": "100-continue"})
    assert asked.status_code == 202
    heads = [each.partition(b"\r\n\r\n") for each in written]
    assert [head.split()[1] for head, _, _ in heads] == [b"200", b"200", b"100", b"202"]
    assert [bool(body) for _, _, body in heads] == [True, False, False, True]


@pytest.mark.parametrize("refused", [False, True], ids=["answered", "answered before its body was there"])
async def test_a_connection_that_nobody_uses_is_closed_in_the_end(
    site: Site, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 60.0)
    reader, writer = await connect(site)
    if refused:
        writer.write(b"POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
        writer.write(b"body")
    else:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.wait_for(reader.read(), 5)
    writer.close()
