"""Every way in which a model server can fail, over real sockets, and the outcome that each comes to.

Left out: proxies, and HTTP/2, which the client does not speak.
"""

import socket
import ssl
from pathlib import Path

import pytest
import trustme

from taskfleet.core.outcome import EndpointDown, Fatal, Ok, Outcome, RateLimited, Retry
from taskfleet.providers import Call, open_provider
from taskfleet.providers.dialect import HttpProvider
from taskfleet.providers.http import HttpClient
from taskfleet.providers.openai import OPENAI
from tests.support import dialectstub, modelstub
from tests.support.modelstub import ModelStub
from tests.support.streamstub import STREAM_FAULTS

DOWN, LIMITED, AGAIN, NEVER = EndpointDown, RateLimited, Retry, Fatal

# fault, Retry-After, outcome, code, status, words that must be in the message
ANSWERS = [
    ("200-html", None, DOWN, "not_a_completion", 200, "not JSON (text/html"),
    ("200-truncated", None, DOWN, "not_a_completion", 200, "not JSON (application/json"),
    ("200-not-completion", None, DOWN, "not_a_completion", 200, "without a completion"),
    ("200-no-choices", None, DOWN, "not_a_completion", 200, "without a completion"),
    ("200-error", None, DOWN, "not_a_completion", 200, "upstream provider failed"),
    ("200-empty", None, DOWN, "not_a_completion", 200, "0 bytes"),
    ("302", None, DOWN, "wrong_url", 302, "check the endpoint's url"),
    ("400-openai", None, NEVER, "bad_request", 400, modelstub.OPENAI_400),
    ("400-vllm", None, NEVER, "bad_request", 400, modelstub.VLLM_400),
    ("400-llamacpp", None, NEVER, "bad_request", 400, modelstub.LLAMACPP_400),
    ("400-text", None, NEVER, "bad_request", 400, "messages must not be empty"),
    ("401", None, DOWN, "key_refused", 401, "Incorrect API key provided"),
    ("403", None, DOWN, "key_refused", 403, "Country not supported"),
    ("404-openai", None, NEVER, "model_not_found", 404, modelstub.OPENAI_404),
    ("404-vllm", None, NEVER, "model_not_found", 404, "The model `m` does not exist."),
    ("404-ollama", None, NEVER, "model_not_found", 404, "try pulling it first"),
    ("404-path", None, DOWN, "wrong_url", 404, "Not Found"),
    ("404-html", None, DOWN, "wrong_url", 404, "404 Not Found"),
    ("405", None, DOWN, "wrong_url", 405, "Method Not Allowed"),
    ("408", None, AGAIN, "server_timeout", 408, "Request timed out."),
    ("409", None, AGAIN, "conflict", 409, "The resource is busy."),
    ("413", None, NEVER, "too_large", 413, "413 Request Entity Too Large"),
    ("415", None, NEVER, "unsupported_media_type", 415, "Unsupported content type"),
    ("422", None, NEVER, "unprocessable", 422, "body.messages: Field required"),
    ("425", "1", AGAIN, "too_early", 425, "Too Early"),
    ("429", "2", LIMITED, "rate_limited", 429, "Rate limit reached"),
    ("429", "Wed, 21 Oct 2015 07:28:09 GMT", LIMITED, "rate_limited", 429, "Rate limit reached"),
    ("429", None, LIMITED, "rate_limited", 429, "Rate limit reached"),
    ("500", None, DOWN, "server_error", 500, "The server had an error"),
    ("502-html", None, DOWN, "server_error", 502, "502 Bad Gateway"),
    ("503", None, DOWN, "server_error", 503, "Loading model"),
    ("503", "5", LIMITED, "rate_limited", 503, "Loading model"),
]
OLLAMA = [
    ("ollama-200-not-done", None, DOWN, "not_a_completion", 200, "not done"),
    ("ollama-200-no-message", None, DOWN, "not_a_completion", 200, "without a completion"),
    ("ollama-400", None, NEVER, "bad_request", 400, "invalid options: num_ctx"),
    ("ollama-404", None, NEVER, "model_not_found", 404, dialectstub.OLLAMA_404),
    ("ollama-404-path", None, DOWN, "wrong_url", 404, "404 page not found"),
    ("ollama-500", None, DOWN, "server_error", 500, "model runner has unexpectedly stopped"),
    ("ollama-503-busy", None, LIMITED, "rate_limited", 503, "server busy"),
]
ANTHROPIC = [
    ("anthropic-200-error", None, DOWN, "not_a_completion", 200, "Internal server error"),
    ("anthropic-400", None, NEVER, "bad_request", 400, "at least one message is required"),
    ("anthropic-400-credit", None, DOWN, "no_credit", 400, "credit balance is too low"),
    ("anthropic-401", None, DOWN, "key_refused", 401, "invalid x-api-key"),
    ("anthropic-403", None, DOWN, "key_refused", 403, "may not use this resource"),
    ("anthropic-404", None, NEVER, "model_not_found", 404, dialectstub.ANTHROPIC_404),
    ("anthropic-413", None, NEVER, "too_large", 413, "exceeds the maximum size"),
    ("anthropic-429", "2", LIMITED, "rate_limited", 429, "exceed your rate limit"),
    ("anthropic-500", None, DOWN, "server_error", 500, "Internal server error"),
    ("anthropic-529", None, LIMITED, "rate_limited", 529, "Overloaded"),
    ("anthropic-529", "5", LIMITED, "rate_limited", 529, "Overloaded"),
]
# What is not a protocol's own comes to the same with any of them.
_SHARED = [
    "200-html",
    "200-truncated",
    "200-empty",
    "302",
    "404-html",
    "405",
    "408",
    "413",
    "422",
    "429",
    "502-html",
    "503",
]
SHARED = [row for row in ANSWERS if row[0] in _SHARED]
TABLE = [
    *(("openai", *row) for row in ANSWERS),
    *(("ollama", *row) for row in (*SHARED, *OLLAMA)),
    *(("anthropic", *row) for row in (*SHARED, *ANTHROPIC)),
]
AFTER = {"1": 1.0, "2": 2.0, "5": 5.0, "Wed, 21 Oct 2015 07:28:09 GMT": 9.0, None: None}
SERVER_DATE = "Wed, 21 Oct 2015 07:28:00 GMT"  # a server whose clock is years behind ours

CONNECTION_FAULTS = [
    ("reset", DOWN, "connection_reset"),
    ("200-cut", DOWN, "answer_cut"),
    ("200-huge", DOWN, "answer_too_large"),
    ("hang", AGAIN, "timeout"),
]


def hello(prompt: str = "hello", *, timeout: float = 10.0, **parameters: object) -> Call:
    return Call("stub", [{"role": "user", "content": prompt}], timeout, parameters)


async def outcome_of(url: str, call: Call, api_key: str | None = None, kind: str = "openai") -> Outcome:
    provider = open_provider(kind, url, api_key)
    try:
        return await provider.complete(call)
    finally:
        await provider.close()


@pytest.mark.parametrize(
    ("kind", "fault", "after", "expected", "code", "status", "words"),
    TABLE,
    ids=[f"{kind}-{fault}-{after}" for kind, fault, after, *_ in TABLE],
)
async def test_an_answer_comes_to_its_outcome(
    kind: str, fault: str, after: str | None, expected: type, code: str, status: int, words: str
) -> None:
    async with ModelStub() as stub:
        stub.set_fault(fault, after=after, date=SERVER_DATE)
        outcome = await outcome_of(stub.root if kind == "ollama" else stub.url, hello(), kind=kind)
    assert type(outcome) is expected
    assert not isinstance(outcome, Ok)
    assert (outcome.error.code, outcome.error.status) == (code, status)
    assert words in outcome.error.message
    if not isinstance(outcome, Fatal):
        assert outcome.after == AFTER[after]


@pytest.mark.parametrize(("fault", "expected", "code"), CONNECTION_FAULTS)
async def test_a_broken_connection_comes_to_its_outcome(fault: str, expected: type, code: str) -> None:
    async with ModelStub() as stub:
        provider = HttpProvider(HttpClient(stub.url, max_answer_bytes=4 * 2**20), OPENAI)
        stub.set_fault(fault)
        outcome = await provider.complete(hello(timeout=0.2 if fault == "hang" else 10.0))
        await provider.close()
    assert type(outcome) is expected
    assert not isinstance(outcome, Ok)
    assert (outcome.error.code, outcome.error.status) == (code, None)


def test_the_table_has_every_fault_that_the_stub_knows() -> None:
    tried = {fault for _, fault, *_ in TABLE} | {fault for fault, *_ in CONNECTION_FAULTS}
    assert tried == {*modelstub.ANSWERS, *modelstub.CONNECTION_FAULTS} - {*STREAM_FAULTS}  # these: test_streaming.py


async def test_a_port_where_nobody_listens_is_an_endpoint_that_is_down() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else can take it
        port = taken.getsockname()[1]
        outcome = await outcome_of(f"http://127.0.0.1:{port}/v1", hello())
    assert isinstance(outcome, EndpointDown)
    assert outcome.error.code == "connection_refused"
    assert not outcome.reached, "no task can be what keeps a server from answering a connection"
    assert outcome.error.message == f"127.0.0.1:{port} refused the connection"


async def test_a_host_that_does_not_exist_is_an_endpoint_that_is_down() -> None:
    outcome = await outcome_of("http://model-server.invalid:8000/v1", hello())
    assert isinstance(outcome, EndpointDown)
    assert outcome.error.code == "dns_failure"
    assert not outcome.reached
    assert "model-server.invalid" in outcome.error.message


async def test_a_certificate_that_nobody_signed_is_an_endpoint_that_is_down(tmp_path: Path) -> None:
    authority = trustme.CA()  # its own certificate is signed by itself
    certificate = tmp_path / "self_signed.pem"
    authority.private_key_pem.write_to_path(certificate)
    authority.cert_pem.write_to_path(certificate, append=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with ModelStub(tls=context) as stub:
        outcome = await outcome_of(stub.url, hello())
        assert stub.calls.total() == 0
    assert isinstance(outcome, EndpointDown)
    assert outcome.error.code == "tls_failure"
    assert not outcome.reached
    assert "self-signed" in outcome.error.message


async def test_https_to_a_plain_http_server_is_an_endpoint_that_is_down() -> None:
    async with ModelStub() as stub:
        outcome = await outcome_of(stub.url.replace("http:", "https:"), hello())
    assert isinstance(outcome, EndpointDown)
    assert outcome.error.code == "tls_failure"


async def test_a_server_that_speaks_no_http_is_an_endpoint_that_is_down() -> None:
    import asyncio

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        outcome = await outcome_of(f"http://127.0.0.1:{port}/v1", hello())
    assert isinstance(outcome, EndpointDown)
    assert outcome.error.code in ("not_http", "connection_reset")
