"""Probes: what counts as healthy, and the words of what does not."""

import socket

import httpx
import pytest

from taskfleet.providers.probe import probe
from tests.support.modelstub import ModelStub


@pytest.mark.parametrize("path", ["/models", "/no-such-path"])
async def test_any_answer_below_500_is_healthy(path: str) -> None:
    async with ModelStub() as stub, httpx.AsyncClient() as client:
        assert await probe(client, stub.url, path, 5.0) == ""


async def test_a_server_error_is_told_by_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ModelStub() as stub, httpx.AsyncClient() as client:
        stub.unhealthy = True
        assert await probe(client, stub.url, "/models", 5.0) == "HTTP 503"


async def test_a_refused_connection_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            assert await probe(client, url, "/models", 5.0) == "connection refused"


async def test_a_server_that_does_not_answer_is_told_with_the_time() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{mute.getsockname()[1]}"
            assert await probe(client, url, "/models", 0.1) == "no answer within 0.1 s"


async def test_a_name_that_does_not_resolve_is_told() -> None:
    async with httpx.AsyncClient() as client:
        assert await probe(client, "http://model.invalid", "/models", 5.0) != ""


async def test_https_to_a_plain_server_is_told() -> None:
    async with ModelStub() as stub, httpx.AsyncClient() as client:
        trouble = await probe(client, stub.url.replace("http:", "https:"), "/models", 5.0)
        assert trouble.startswith("TLS failed")
