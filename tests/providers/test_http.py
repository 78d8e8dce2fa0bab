"""The HTTP client by itself, against servers that send exactly what a test says."""

import asyncio
import gzip
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.providers import dialing, http
from taskfleet.providers.answer import Answer, NoAnswer
from taskfleet.providers.http import HttpClient
from taskfleet.providers.incoming import Incoming
from tests.support.waiting import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class RawServer:
    """Answers each request with the next of ``answers`` (the last one again and again), and remembers what it read."""

    def __init__(self, answers: tuple[bytes, ...]) -> None:
        self.requests: list[bytes] = []
        self.connections: list[asyncio.StreamWriter] = []
        self.ended = 0
        self.port = 0
        self._answers = list(answers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
                writer.write(answer)
                if b"Connection: close" in answer or b"Content-Length" not in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.ended += 1
            writer.close()


@asynccontextmanager
async def serving(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    raw = RawServer(answers)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0, ssl=tls)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        for writer in raw.connections:
            writer.transport.abort()
        await server.wait_closed()


@asynccontextmanager
async def calling(url: str, **options: object) -> AsyncIterator[Callable[..., "asyncio.Future[Answer]"]]:
    client = HttpClient(url, **options)  # type: ignore[arg-type]

    async def post(body: bytes = b"{}", timeout: float = 5.0, path: str = "/chat") -> Answer:  # noqa: ASYNC109
        return await client.post(path, body, timeout)

    try:
        yield post  # type: ignore[misc]
    finally:
        await client.close()


async def failure(call: "asyncio.Future[Answer]") -> str:
    with pytest.raises(NoAnswer) as caught:
        await call
    return caught.value.code


async def test_a_request_says_what_it_is_and_nothing_that_nobody_needs() -> None:
    async with serving(OK) as server, calling(server.url, headers={"Authorization": "Bearer é"}) as post:
        await post(b'{"a": 1}')
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /v1/chat HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}".encode(),
        b"User-Agent: taskfleet",
        b"Content-Type: application/json",
        b"Accept: application/json",
        b"Accept-Encoding: identity",
        "Authorization: Bearer é".encode(),
        b"Content-Length: 8",
    ]
    assert body == b'{"a": 1}'


async def test_a_url_without_a_path_and_one_with_odd_characters_are_called_where_they_say() -> None:
    async with serving(OK) as server:
        for base in ("", "/", "/a b/ü"):
            async with calling(f"http://localhost:{server.port}{base}") as post:
                await post()
    lines = [request.split(b"\r\n")[0] for request in server.requests]
    assert lines == [b"POST /chat HTTP/1.1", b"POST /chat HTTP/1.1", b"POST /a%20b/%C3%BC/chat HTTP/1.1"]


async def test_a_connection_is_used_again() -> None:
    async with serving(OK) as server, calling(server.url) as post:
        for _ in range(3):
            assert (await post()).body == b"{}"
        assert len(server.connections) == 1


async def test_there_are_as_many_connections_as_calls_at_once() -> None:
    async with serving(OK) as server, calling(server.url) as post:
        await asyncio.gather(*(post() for _ in range(20)))
        assert len(server.requests) == 20
        await asyncio.gather(*(post() for _ in range(20)))
        assert len(server.connections) <= 20


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
        OK + b"rubbish",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
    ],
    ids=["close", "1.0", "answer-too-many", "rubbish-behind", "until-the-end"],
)
async def test_a_connection_that_cannot_be_trusted_with_another_call_is_closed(answer: bytes) -> None:
    async with serving(answer) as server, calling(server.url) as post:
        assert [(await post()).body for _ in range(2)] == [b"{}", b"{}"]
        assert len(server.connections) == 2


async def test_a_connection_that_the_server_closed_while_idle_is_not_used() -> None:
    async with serving(OK) as server, calling(server.url) as post:
        await post()
        server.connections[0].close()
        await eventually(lambda: server.ended == 1, "the server to have closed it")
        assert (await post()).status == 200


async def test_what_a_server_says_unasked_ends_the_connection() -> None:
    async with serving(OK) as server, calling(server.url) as post:
        await post()
        server.connections[0].write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await eventually(lambda: server.ended == 1, "the client to close it")
        assert (await post()).status == 200


async def test_idle_connections_are_closed_before_servers_close_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "KEEPALIVE_SECONDS", 0.05)
    async with serving(OK) as server, calling(server.url) as post:
        await asyncio.gather(*(post() for _ in range(3)))
        await eventually(lambda: server.ended == len(server.connections), "all to be closed")


async def test_a_cancelled_call_closes_its_connection_and_no_other() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", OK) as server, calling(server.url) as post:
        running = asyncio.ensure_future(post())
        await eventually(lambda: server.requests, "the request")
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        await eventually(lambda: server.ended == 1, "the server to see the end")
        assert (await post()).status == 200


async def test_closing_the_client_ends_its_calls() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}") as server:
        client = HttpClient(server.url)
        running = asyncio.ensure_future(client.post("/chat", b"", 5.0))
        await eventually(lambda: server.requests, "the request")
        await client.close()
        assert await failure(running) == "closed"


async def test_a_timeout_is_the_servers_when_it_took_the_call() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}") as server, calling(server.url) as post:
        with pytest.raises(NoAnswer) as caught:
            await post(timeout=0.05)
        assert (caught.value.code, caught.value.timed_out, caught.value.connected) == ("timeout", True, True)


async def test_a_port_that_accepts_nothing_is_no_connection_in_time() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        async with calling(f"http://127.0.0.1:{full.getsockname()[1]}", connect_timeout=0.2) as post:
            assert await failure(post()) == "connect_timeout"
        for each in waiting:
            each.close()


@pytest.mark.parametrize("key", ["secret\n", "a\r\nHost: elsewhere", "nul\0"])
async def test_a_key_with_a_line_break_is_told_in_words_and_nothing_is_sent(key: str) -> None:
    async with serving(OK) as server, calling(server.url, headers={"Authorization": key}) as post:
        with pytest.raises(NoAnswer, match="Authorization cannot be sent: there is a line break") as caught:
            await post()
        assert "secret" not in str(caught.value)
        assert not server.connections


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "connection_reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "connection_reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n{}", "answer_cut"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "answer_cut"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "not_http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "not_http"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "answer_too_large"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001, "answer_too_large"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", "not_http"),
    ],
)
async def test_what_is_no_answer_has_a_code_and_ends_the_connection(answer: bytes, code: str) -> None:
    async with serving(answer, OK) as server, calling(server.url, max_answer_bytes=1000) as post:
        assert await failure(post(timeout=5.0)) == code
        await eventually(lambda: server.ended == 1, "the connection to end")
        assert (await post()).status == 200


async def test_a_small_answer_that_unpacks_to_a_large_one_is_too_large() -> None:
    packed = gzip.compress(b" " * 10**7)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with serving(head + packed) as server, calling(server.url, max_answer_bytes=10**6) as post:
        assert await failure(post()) == "answer_too_large"


async def test_an_answer_before_the_whole_request_was_taken_is_read_and_the_connection_closed() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(refuse, "127.0.0.1", 0, limit=2**10) as server:
        client = HttpClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert (await client.post("/", b"x" * 50_000_000, 5.0)).status == 413
        assert not client._idle
        await client.close()
        writers[0].transport.abort()


async def test_a_certificate_of_an_authority_that_is_trusted_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    dialing.tls_context.cache_clear()
    try:
        async with serving(OK, tls=context) as server:
            async with calling(f"https://localhost:{server.port}") as post:
                assert [(await post()).status for _ in range(2)] == [200, 200]
            assert len(server.connections) == 1
            async with calling(f"https://127.0.0.1:{server.port}") as post:  # another name than the certificate's
                assert await failure(post()) == "tls_failure"
    finally:
        dialing.tls_context.cache_clear()


CHUNKED = b'Transfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n6;x=y\r\n: [1]}\r\n0\r\nTrailer: x\r\n\r\n'
BODY = b'{"a": [1]}'
WHOLE = [
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n" + BODY,
    b"HTTP/1.1 200 OK\r\n" + CHUNKED,
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n" + CHUNKED,
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(BODY),
    b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n" + zlib.compress(BODY),
    b"HTTP/1.1 200\r\n\r\n" + BODY,
]


@given(st.sampled_from(WHOLE), st.data())
def test_an_answer_is_the_same_however_it_is_cut_on_its_way(answer: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=8)))
    incoming = Incoming(10, None)
    for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
        if piece := answer[start:end]:
            incoming.feed(piece)
    if not incoming.is_whole:
        incoming.feed_end()
    whole = incoming.answer()
    assert (whole.status, whole.body) == (200, BODY)
    assert "link" not in whole.headers


@given(st.lists(st.text("ab\r é", max_size=5), max_size=6), st.booleans(), st.data())
def test_lines_of_a_stream_are_told_once_and_in_order(lines: list[str], ended: bool, data: st.DataObject) -> None:
    text = "\n".join(lines).encode() + (b"\n" if ended and lines else b"")
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n" + text
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=8)))
    told: list[bytes] = []
    incoming = Incoming(1000, told.append)
    for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
        if piece := answer[start:end]:
            incoming.feed(piece)
    incoming.feed_end()
    *whole, rest = text.split(b"\n")
    assert told == [line.removesuffix(b"\r") for line in whole] + ([rest] if rest else [])
    assert incoming.answer() == Answer(200, {"content-type": "text/event-stream; charset=utf-8"}, b"", streamed=True)


@given(st.binary(max_size=60))
def test_no_bytes_break_more_than_their_own_call(rubbish: bytes) -> None:
    incoming = Incoming(1000, None)
    try:
        incoming.feed(b"HTTP/1.1 200 OK\r\n" + rubbish)
        incoming.feed_end()
    except NoAnswer as reason:
        assert reason.code in ("not_http", "answer_cut", "connection_reset", "answer_too_large")
