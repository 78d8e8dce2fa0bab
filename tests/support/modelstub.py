"""A stub model server with the OpenAI API, a latency and faults on demand; it counts every call it gets.

In a test: ``async with ModelStub(latency=0.05) as stub: stub.set_fault("429", after="2", times=3)``, then ``stub.url``,
``stub.calls``. As a process: ``python -m tests.support.modelstub --port 0 --latency 0.2 --fault '500*3@poison'``, which
prints its URL; ``GET /stub/calls`` shows the counts and ``POST /stub/fault`` sets faults. The error bodies are those
that OpenAI, vLLM, llama.cpp, Ollama and FastAPI send. Ollama's own API and Anthropic's are there too (dialectstub.py),
and each streams when it is asked to (streamstub.py), with ``chunk_latency`` before each piece.
"""

import argparse
import asyncio
import contextlib
import json
import random
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from tests.support.dialectstub import (
    ANTHROPIC_ANSWERS,
    OLLAMA_ANSWERS,
    anthropic_completion,
    ollama_completion,
    prompt_of,
)
from tests.support.responsestub import response
from tests.support.streamstub import ERRORS, GARBAGE, STREAM_FAULTS, STREAMS

Completion = Callable[[str, str], dict[str, Any]]
Latency = float | Callable[[], float]
TURNS_TO_MAKE_A_CONNECTION = 5  # of the event loop, from its acceptance on


def _openai_error(message: str, code: str | None = None, kind: str = "invalid_request_error") -> str:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


OPENAI_400 = "Invalid value: 'wizard'. Supported values are: 'system', 'assistant', 'user'."
OPENAI_404 = "The model `gpt-9` does not exist or you do not have access to it."
VLLM_400 = "This model's maximum context length is 2048 tokens. However, you requested 4096 tokens."
LLAMACPP_400 = "the request exceeds the available context size, try increasing it"

_HTML = "<html><head><title>{0}</title></head><body><h1>{0}</h1><hr>nginx</body></html>"

# kind: (status, content type, body)
ANSWERS: dict[str, tuple[int, str, str]] = {
    "200-html": (200, "text/html", _HTML.format("Welcome to our network")),
    "200-truncated": (200, "application/json", '{"id": "x", "choices": [{"message": {"role": "assi'),
    "200-not-completion": (200, "application/json", '{"status": "ok", "uptime": 12}'),
    "200-no-choices": (200, "application/json", '{"object": "chat.completion", "choices": []}'),
    "200-error": (200, "application/json", _openai_error("upstream provider failed", kind="server_error")),
    "200-empty": (200, "application/json", ""),
    "302": (302, "text/html", _HTML.format("302 Found")),
    "400-openai": (400, "application/json", _openai_error(OPENAI_400, "invalid_value")),
    "400-vllm": (
        400,
        "application/json",
        json.dumps({"object": "error", "message": VLLM_400, "type": "BadRequestError", "param": None, "code": 400}),
    ),
    "400-llamacpp": (
        400,
        "application/json",
        json.dumps(
            {"error": {"code": 400, "message": LLAMACPP_400, "type": "exceed_context_size_error", "n_ctx": 512}}
        ),
    ),
    "400-text": (400, "text/plain", "messages must not be empty\n"),
    "401": (401, "application/json", _openai_error("Incorrect API key provided: sk-wrong.", "invalid_api_key")),
    "403": (403, "application/json", _openai_error("Country not supported", "unsupported_country")),
    "404-openai": (404, "application/json", _openai_error(OPENAI_404, "model_not_found")),
    "404-vllm": (
        404,
        "application/json",
        json.dumps({"error": {"message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}}),
    ),
    "404-ollama": (
        404,
        "application/json",
        _openai_error('model "m" not found, try pulling it first', kind="api_error"),
    ),
    "404-path": (404, "application/json", '{"detail": "Not Found"}'),
    "404-html": (404, "text/html", _HTML.format("404 Not Found")),
    "405": (405, "application/json", '{"detail": "Method Not Allowed"}'),
    "408": (408, "application/json", _openai_error("Request timed out.")),
    "409": (409, "application/json", _openai_error("The resource is busy.")),
    "413": (413, "text/html", _HTML.format("413 Request Entity Too Large")),
    "415": (415, "application/json", _openai_error("Unsupported content type")),
    "422": (
        422,
        "application/json",
        json.dumps(
            {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required", "input": {}}]}
        ),
    ),
    "425": (425, "text/plain", "Too Early"),
    "429": (
        429,
        "application/json",
        _openai_error("Rate limit reached for requests", "rate_limit_exceeded", "requests"),
    ),
    "500": (500, "application/json", _openai_error("The server had an error", kind="server_error")),
    "502-html": (502, "text/html", _HTML.format("502 Bad Gateway")),
    "503": (
        503,
        "application/json",
        json.dumps({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
    ),
}
ANSWERS |= {**OLLAMA_ANSWERS, **ANTHROPIC_ANSWERS}
# These need the connection itself.
CONNECTION_FAULTS = ("reset", "hang", "200-cut", "200-huge", *STREAM_FAULTS)


@dataclass
class Fault:
    """What goes wrong: for the next ``times`` calls (None: all), only for prompts that contain ``containing``.

    ``after`` becomes the Retry-After header; ``date`` the Date header, to test clocks that disagree.
    """

    kind: str
    after: str | None = None
    times: int | None = None
    containing: str | None = None
    date: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ANSWERS and self.kind not in CONNECTION_FAULTS:
            raise ValueError(f"{self.kind!r} is none of {', '.join((*ANSWERS, *CONNECTION_FAULTS))}")

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """``KIND[=RETRY_AFTER][*TIMES][@CONTAINING]``, such as ``429=2*3`` or ``500@poison``."""
        text, _, containing = text.partition("@")
        text, _, times = text.partition("*")
        kind, _, after = text.partition("=")
        return cls(kind, after or None, int(times) if times else None, containing or None)

    def takes(self, prompt: str) -> bool:
        """Whether this call fails; counts it."""
        if self.times == 0 or (self.containing is not None and self.containing not in prompt):
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass
class ModelStub:
    """The server. ``calls`` counts arrivals by prompt (side effects), ``answered`` the completions that were sent."""

    latency: Latency = 0.0
    chunk_latency: float = 0.0
    port: int = 0
    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    api_key: str | None = None
    calls: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    requests: list[dict[str, Any]] = field(default_factory=list)
    inflight: int = 0
    max_inflight: int = 0
    hung_up: int = 0  # clients that closed the connection before their answer
    faults: list[Fault] = field(default_factory=list)
    replies: list[Callable[[dict[str, Any]], Any]] = field(default_factory=list)  # see ``_reply``
    keep_requests: bool = True
    has_responses: bool = True
    unhealthy: bool = False  # /v1/models and /health answer 503
    _runner: web.AppRunner | None = None
    _listening: socket.socket = field(init=False)
    _loop: asyncio.AbstractEventLoop | None = None
    _gate: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """The base URL for an endpoint, ``http://127.0.0.1:PORT/v1``."""
        return f"{self.root}/v1"

    @property
    def root(self) -> str:
        """The base URL of Ollama's own API."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def set_fault(self, kind: str, **options: Any) -> Fault:
        """Replace all faults by one; see Fault for the options."""
        fault = Fault(kind, **options)
        self.faults = [fault]
        return fault

    def clear_faults(self) -> None:
        self.faults = []

    def hold(self) -> None:
        """From now on calls wait, whatever the latency, until ``let_go``."""
        self._on_loop(self._gate.clear)

    def let_go(self) -> None:
        self._on_loop(self._gate.set)

    def _on_loop(self, change: Callable[[], None]) -> None:
        if self._loop is not None:  # the test may be on another thread, see ``running``
            self._loop.call_soon_threadsafe(change)

    async def start(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._gate.set()
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", self._chat(_completion))
        app.router.add_post("/v1/completions", self._chat(_text_completion))
        app.router.add_post("/v1/embeddings", self._chat(_embedding))
        if self.has_responses:
            app.router.add_post("/v1/responses", self._chat(response))
        app.router.add_post("/v1/messages", self._chat(anthropic_completion))
        app.router.add_post("/api/chat", self._chat(ollama_completion))
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        app.router.add_get("/stub/calls", self._show_calls)
        app.router.add_post("/stub/fault", self._take_fault)
        # A handler is cancelled when its client hangs up: that is how ``hung_up`` is seen.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        self._listening = socket.create_server((self.host, self.port))
        await web.SockSite(self._runner, self._listening, ssl_context=self.tls).start()
        self.port = self._listening.getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            self._gate.set()
            # Python 3.11 loses a connection that was just accepted when its server closes, never closes it, and warns
            # of it in whatever test runs later: accept no more, and let what was accepted become a connection.
            asyncio.get_running_loop().remove_reader(self._listening)
            for _ in range(TURNS_TO_MAKE_A_CONNECTION):
                await asyncio.sleep(0)
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def _chat(self, completion: Completion) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            return await self._answer(request, completion)

        return answer

    async def _answer(self, request: web.Request, completion: Completion) -> web.StreamResponse:
        body = json.loads(await request.read())
        prompt = prompt_of(body["messages"][-1]["content"]) if body.get("messages") else ""
        prompt = prompt or prompt_of(body.get("prompt", body.get("input", "")))
        self.calls[prompt] += 1
        if self.keep_requests:
            port = request.transport.get_extra_info("peername")[1] if request.transport else 0
            self.requests.append({"headers": dict(request.headers), "body": body, "port": port})
        if self.api_key is not None and self.api_key not in (
            request.headers.get("Authorization", "").removeprefix("Bearer "),
            request.headers.get("x-api-key"),
        ):
            return await self._fail(request, Fault("401"))
        self.inflight += 1
        self.max_inflight = max(self.max_inflight, self.inflight)
        try:
            fault = next((fault for fault in self.faults if fault.takes(prompt)), None)
            if fault is not None and fault.kind not in STREAM_FAULTS:
                return await self._fail(request, fault)
            await self._gate.wait()
            latency = self.latency() if callable(self.latency) else self.latency
            if latency:
                await asyncio.sleep(latency)
            said = self._reply(body) or completion(body["model"], prompt)
            if body.get("stream") and (fault is None or fault.kind != "no-stream"):
                return await self._stream(request, prompt, said, fault)
        except asyncio.CancelledError:
            self.hung_up += 1
            raise
        finally:
            self.inflight -= 1
        self.answered[prompt] += 1
        return web.json_response(said)

    def _reply(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """The completion of the first of ``replies`` that has something to say to a request: a text or a message."""
        said = next((said for reply in self.replies if (said := reply(body)) is not None), None)
        if said is None:
            return None
        completion = _completion(body["model"], "")
        choice = completion["choices"][0]
        choice["message"] = said if isinstance(said, dict) else {"role": "assistant", "content": said}
        if "tool_calls" in choice["message"]:
            choice["finish_reason"] = "tool_calls"
        return completion

    async def _stream(
        self, request: web.Request, prompt: str, answer: dict[str, Any], fault: Fault | None
    ) -> web.StreamResponse:
        content_type, taken_apart = STREAMS[request.path]
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        all_pieces = list(taken_apart(answer))
        for number, piece in enumerate(all_pieces):
            if self.chunk_latency:
                await asyncio.sleep(self.chunk_latency)
            await self._gate.wait()
            if fault is not None and number == len(all_pieces) // 2:
                return await self._break(request, response, fault)
            await response.write(piece)
        self.answered[prompt] += 1
        return response

    async def _break(self, request: web.Request, response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
        if fault.kind == "stream-stall":
            await asyncio.Event().wait()
        if fault.kind == "stream-cut" and request.transport is not None:
            request.transport.abort()
        if fault.kind == "stream-garbage":
            await response.write(GARBAGE[response.content_type])
        if fault.kind == "stream-error":
            await response.write(ERRORS[request.path])
        return response

    async def _fail(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.kind == "hang":
            await asyncio.Event().wait()
        transport = request.transport
        if fault.kind == "reset" and transport is not None:
            transport.abort()
            return web.Response()
        headers = {"Location": "http://127.0.0.1:9/elsewhere"} if fault.kind == "302" else {}
        if fault.after is not None:
            headers["Retry-After"] = fault.after
        if fault.date is not None:
            headers["Date"] = fault.date
        if fault.kind == "200-cut":
            response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "5000"})
            await response.prepare(request)
            await response.write(b'{"choices": [')
            if transport is not None:
                transport.abort()
            return response
        if fault.kind == "200-huge":
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            chunk = b" " * 2**20
            while True:  # until the client has had enough of it
                await response.write(chunk)
        status, content_type, text = ANSWERS[fault.kind]
        return web.Response(status=status, text=text, content_type=content_type, headers=headers)

    async def _models(self, _request: web.Request) -> web.Response:
        models = {"object": "list", "data": [{"id": "stub", "object": "model", "owned_by": "tests"}]}
        return web.json_response(models, status=503 if self.unhealthy else 200)

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"}, status=503 if self.unhealthy else 200)

    async def _show_calls(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "calls": self.calls,
                "answered": self.answered,
                "inflight": self.inflight,
                "max_inflight": self.max_inflight,
                "hung_up": self.hung_up,
            }
        )

    async def _take_fault(self, request: web.Request) -> web.Response:
        """Body: a list of faults as ``--fault`` writes them; an empty list heals the server."""
        self.faults = [Fault.parse(text) for text in await request.json()]
        return web.json_response({"faults": len(self.faults)})


def _completion(model: str, prompt: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-stub",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": f"echo: {prompt}"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


def _text_completion(model: str, prompt: str) -> dict[str, Any]:
    return {
        "id": "cmpl-stub",
        "object": "text_completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "text": f"echo: {prompt}", "logprobs": None, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


def _embedding(model: str, prompt: str) -> dict[str, Any]:
    vector = [float(len(prompt)), 0.5, -1.0]
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    return {"object": "list", "model": model, "data": data, "usage": {"prompt_tokens": 4, "total_tokens": 4}}


@contextlib.contextmanager
def running(**options: Any) -> Iterator[ModelStub]:
    """A started stub on a thread and loop of its own, for tests that have no loop or that stop theirs."""
    stub = ModelStub(**options)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="modelstub", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(stub.start(), loop).result(10)
        yield stub
        asyncio.run_coroutine_threadsafe(stub.stop(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _serve(stub: ModelStub) -> None:
    async with stub:
        print(stub.url, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A stub model server with the OpenAI API.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds; the mean with --jitter")
    parser.add_argument("--chunk-latency", type=float, default=0.0, help="seconds before each piece of a stream")
    parser.add_argument("--jitter", type=float, default=0.0, help="share of the latency, uniform either way")
    parser.add_argument("--fault", type=Fault.parse, action="append", default=[], help=Fault.parse.__doc__)
    arguments = parser.parse_args()
    mean, jitter = arguments.latency, arguments.jitter
    latency: Latency = (lambda: mean * (1 + jitter * (2 * random.random() - 1))) if jitter else mean
    stub = ModelStub(
        latency=latency,
        chunk_latency=arguments.chunk_latency,
        port=arguments.port,
        host=arguments.host,
        faults=arguments.fault,
        keep_requests=False,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(stub))


if __name__ == "__main__":
    main()
