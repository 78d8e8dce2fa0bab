"""Answers that are streamed: told piece by piece, and in the end the same outcome as one that came whole."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.core.outcome import EndpointDown, Ok, Outcome, RateLimited, Retry
from taskfleet.core.task import Usage
from taskfleet.providers import Call, open_provider
from taskfleet.providers.answer import NoAnswer
from taskfleet.providers.anthropic import ANTHROPIC
from taskfleet.providers.deltas import Deltas, Said
from taskfleet.providers.dialect import Dialect, HttpProvider
from taskfleet.providers.http import HttpClient
from taskfleet.providers.ollama import OLLAMA
from taskfleet.providers.openai import OPENAI
from taskfleet.providers.streams import ErrorInStream, NotACompletion
from tests.support.modelstub import ModelStub
from tests.support.streamstub import anthropic_stream, ollama_stream, openai_stream
from tests.support.waiting import eventually

TEXT = 'Grüße, "Welt" \\ 🌍\nand a second line'
ARGUMENTS = '{"city":"Rome","days":[1,2]}'
NAMES = st.sampled_from(["content", "tool_calls", "function", "arguments", "index", "id", "role", "audio", "data"])
KINDS = ("openai", "ollama", "anthropic")


def openai_answer(*messages: dict[str, Any], reason: str = "stop") -> dict[str, Any]:
    choices = [
        {"index": n, "message": {"role": "assistant", **message}, "finish_reason": reason}
        for n, message in enumerate(messages)
    ]
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return {"id": "x", "model": "m", "choices": choices, "usage": usage}


def openai_call(number: int) -> dict[str, Any]:
    return {"id": f"c{number}", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}


def ollama_answer(**message: Any) -> dict[str, Any]:
    counts = {"prompt_eval_count": 7, "eval_count": 3}
    return {"model": "m", "message": {"role": "assistant", **message}, "done": True, "done_reason": "stop", **counts}


def anthropic_answer(*blocks: dict[str, Any], reason: str = "end_turn") -> dict[str, Any]:
    usage = {"input_tokens": 4, "cache_read_input_tokens": 3, "output_tokens": 3}
    return {"id": "x", "type": "message", "model": "m", "content": list(blocks), "stop_reason": reason, "usage": usage}


OLLAMA_CALL = {"function": {"name": "weather", "arguments": json.loads(ARGUMENTS)}}
ANTHROPIC_CALL = {"type": "tool_use", "id": "c0", "name": "weather", "input": json.loads(ARGUMENTS)}
ANSWERS: list[tuple[Dialect, Callable[[dict[str, Any]], Iterator[bytes]], dict[str, Any]]] = [
    (OPENAI, openai_stream, openai_answer({"content": TEXT})),
    (OPENAI, openai_stream, openai_answer({"content": ""})),
    (OPENAI, openai_stream, openai_answer({"content": "yes", "reasoning_content": "well ..."})),
    (OPENAI, openai_stream, openai_answer({"content": None, "refusal": "I will not"})),
    (OPENAI, openai_stream, openai_answer({"content": None, "tool_calls": [openai_call(0), openai_call(1)]})),
    (OPENAI, openai_stream, openai_answer({"content": "I ask", "tool_calls": [openai_call(0)]}, reason="tool_calls")),
    (OPENAI, openai_stream, openai_answer({"content": "one"}, {"content": "two"}, reason="length")),
    (OLLAMA, ollama_stream, ollama_answer(content=TEXT)),
    (OLLAMA, ollama_stream, ollama_answer(content="")),
    (OLLAMA, ollama_stream, ollama_answer(content="yes", thinking="well ...")),
    (OLLAMA, ollama_stream, ollama_answer(content="", tool_calls=[OLLAMA_CALL, OLLAMA_CALL])),
    (ANTHROPIC, anthropic_stream, anthropic_answer({"type": "text", "text": TEXT})),
    (ANTHROPIC, anthropic_stream, anthropic_answer({"type": "text", "text": "a"}, {"type": "text", "text": "b"})),
    (
        ANTHROPIC,
        anthropic_stream,
        anthropic_answer({"type": "thinking", "thinking": "well ..."}, {"type": "text", "text": "yes"}),
    ),
    (ANTHROPIC, anthropic_stream, anthropic_answer({"type": "text", "text": "I ask"}, ANTHROPIC_CALL, ANTHROPIC_CALL)),
    (ANTHROPIC, anthropic_stream, anthropic_answer(ANTHROPIC_CALL, reason="tool_use")),
    (ANTHROPIC, anthropic_stream, anthropic_answer({**ANTHROPIC_CALL, "input": {}})),
]


def read(dialect: Dialect, sent: bytes, said: Said = lambda *_piece: None) -> Ok:
    stream = dialect.stream(said)
    for line in sent.split(b"\n"):
        stream.line(line)
    return dialect.completion(stream.whole())


@pytest.mark.parametrize(("dialect", "stream", "answer"), ANSWERS)
def test_a_streamed_answer_is_the_same_as_one_that_came_whole(
    dialect: Dialect, stream: Callable[[dict[str, Any]], Iterator[bytes]], answer: dict[str, Any]
) -> None:
    told = Deltas()
    assert read(dialect, b"".join(stream(answer)), told.add) == dialect.completion(answer)
    assert all(choice["finish_reason"] for choice in told.as_choices())
    heard = OPENAI.completion({"choices": told.as_choices()}).output
    whole = dialect.completion(answer).output
    if isinstance(whole, dict) and "choices" in whole:
        assert heard == whole
        return
    assert _said(heard) == _said(whole)


def _said(output: Any) -> Any:
    """What a reader sees of a message, however its arguments are spaced."""
    if isinstance(output, str):
        return output
    calls = [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in output.get("tool_calls", ())
    ]
    return {"content": output.get("content") or "", "calls": calls, "refusal": output.get("refusal")}


@pytest.mark.parametrize(("dialect", "stream", "answer"), ANSWERS)
def test_a_stream_that_is_cut_anywhere_is_no_completion(
    dialect: Dialect, stream: Callable[[dict[str, Any]], Iterator[bytes]], answer: dict[str, Any]
) -> None:
    parts = list(stream(answer))
    for kept in range(len(parts)):
        with pytest.raises(NoAnswer, match="ended inside"):
            read(dialect, b"".join(parts[:kept]))


def test_the_last_event_counts_without_the_empty_line_behind_it() -> None:
    sent = b"".join(openai_stream(openai_answer({"content": "hi"}))).rstrip(b"\n")
    assert read(OPENAI, sent).output == "hi"


DEEP = b'{"choices": [], "x": ' + b"[" * 250 + b"]" * 250 + b"}"


@pytest.mark.parametrize(
    "sent",
    [b"data: [1]", b'data: {"choices": [{"index": 0}]}', b'data: {"choices": 5}', b"data: nonsense", b"data: " + DEEP],
)
def test_what_is_no_chunk_is_rubbish(sent: bytes) -> None:
    with pytest.raises(NotACompletion):
        read(OPENAI, sent + b"\n\n")


def test_an_error_in_a_stream_has_the_status_that_its_server_means() -> None:
    for code, status in ((400, 400), (503, 503), ("server_error", 500), (None, 500), (200, 500)):
        with pytest.raises(ErrorInStream) as raised:
            read(OPENAI, b'data: {"error": {"message": "no", "code": %s}}\n\n' % json.dumps(code).encode())
        assert raised.value.answer.status == status


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=2), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(NAMES, JSON, max_size=4), max_size=6))
def test_a_server_that_streams_nonsense_breaks_nothing(deltas: list[dict[str, Any]]) -> None:
    told = Deltas()
    for delta in deltas:
        told.add(0, delta)
    orjson.dumps(told.as_deltas())
    orjson.dumps(told.as_choices())


@given(st.lists(st.tuples(st.integers(0, 1), st.text(max_size=5)), min_size=1, max_size=12), st.integers(0, 12))
def test_pieces_told_in_two_batches_say_the_same_as_in_one(parts: list[tuple[int, str]], cut: int) -> None:
    def call(index: int, text: str) -> dict[str, Any]:
        return {"content": text, "tool_calls": [{"index": index, "id": f"c{index}", "function": {"arguments": text}}]}

    whole, joined = Deltas(), Deltas()
    for index, text in parts:
        whole.add(0, call(index, text))
    for batch in (parts[:cut], parts[cut:]):
        part = Deltas()
        for index, text in batch:
            part.add(0, call(index, text))
        for choice in part.copy().as_deltas():
            joined.add(choice["index"], choice["delta"], choice["finish_reason"])
    assert joined.as_choices() == whole.as_choices()


# Over real sockets


async def complete(kind: str, stub: ModelStub, timeout: float = 5.0) -> tuple[Outcome, Deltas]:  # noqa: ASYNC109
    told = Deltas()
    provider = open_provider(kind, stub.root if kind == "ollama" else stub.url)
    call = Call("m", [{"role": "user", "content": "a longer question"}], timeout, said=told.add)
    try:
        return await provider.complete(call), told
    finally:
        await provider.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_streamed_call_has_text_tokens_and_pieces(kind: str) -> None:
    async with ModelStub() as stub:
        outcome, told = await complete(kind, stub)
        assert stub.requests[0]["body"]["stream"] is True
    assert outcome == Ok("echo: a longer question", Usage(7, 3))
    assert told.as_choices()[0]["message"]["content"] == "echo: a longer question"
    assert told.as_choices()[0]["finish_reason"] == "stop"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fault", "expected", "code"),
    [
        ("stream-cut", EndpointDown, "answer_cut"),
        ("stream-cut-whole", EndpointDown, "answer_cut"),
        ("stream-garbage", EndpointDown, "not_a_completion"),
        ("500", EndpointDown, "server_error"),
        ("429", RateLimited, "rate_limited"),
    ],
)
async def test_a_stream_that_breaks_is_the_endpoints_trouble(
    kind: str, fault: str, expected: type[Outcome], code: str
) -> None:
    async with ModelStub() as stub:
        stub.set_fault(fault)
        outcome, _ = await complete(kind, stub)
    assert isinstance(outcome, expected)
    assert not isinstance(outcome, Ok)
    assert outcome.error.code == code


@pytest.mark.parametrize(
    ("kind", "expected", "words"),
    [
        ("openai", EndpointDown, "CUDA out of memory"),
        ("ollama", EndpointDown, "an error was encountered"),
        ("anthropic", RateLimited, "Overloaded"),
    ],
)
async def test_an_error_in_the_stream_is_typed_as_if_it_had_come_at_once(
    kind: str, expected: type[Outcome], words: str
) -> None:
    async with ModelStub() as stub:
        stub.set_fault("stream-error")
        outcome, told = await complete(kind, stub)
    assert isinstance(outcome, expected)
    assert not isinstance(outcome, Ok)
    assert words in outcome.error.message
    assert told.size > 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_does_not_stream_is_heard_all_the_same(kind: str) -> None:
    async with ModelStub() as stub:
        stub.set_fault("no-stream")
        outcome, told = await complete(kind, stub)
    assert outcome == Ok("echo: a longer question", Usage(7, 3))
    assert told.as_choices()[0]["message"] == {"content": "echo: a longer question"}
    assert told.as_choices()[0]["finish_reason"] == "stop"


async def test_a_stream_that_stalls_ends_with_the_time_of_the_call() -> None:
    async with ModelStub() as stub:
        stub.set_fault("stream-stall")
        outcome, _ = await complete("openai", stub, timeout=0.3)
    assert isinstance(outcome, Retry)
    assert outcome.error.code == "timeout"


async def test_pieces_are_told_as_they_come() -> None:
    async with ModelStub(chunk_latency=0.01) as stub:
        stub.set_fault("stream-stall")
        told = Deltas()
        provider = open_provider("openai", stub.url)
        call = Call("m", [{"role": "user", "content": "x"}], 5.0, said=told.add)
        running = asyncio.create_task(provider.complete(call))
        await eventually(lambda: told.size, "the first piece")
        running.cancel()
        await asyncio.wait([running])
        await eventually(lambda: stub.hung_up == 1, "the connection to be closed")
        await provider.close()


async def test_a_stream_is_bounded_like_any_answer() -> None:
    async with ModelStub() as stub:
        http = HttpClient(stub.url, max_answer_bytes=500)
        call = Call("m", [{"role": "user", "content": "x" * 400}], 5.0, said=lambda *_piece: None)
        outcome = await HttpProvider(http, OPENAI).complete(call)
        await http.close()
    assert isinstance(outcome, EndpointDown)
    assert outcome.error.code == "answer_too_large"


async def test_a_key_that_a_stream_repeats_is_not_shown() -> None:
    async with ModelStub() as stub:
        stub.set_fault("stream-error")
        http = HttpClient(stub.url, api_key="CUDA")
        call = Call("m", [{"role": "user", "content": "x"}], 5.0, said=lambda *_piece: None)
        outcome = await HttpProvider(http, OPENAI).complete(call)
        await http.close()
    assert isinstance(outcome, EndpointDown)
    assert "*** out of memory" in outcome.error.message
