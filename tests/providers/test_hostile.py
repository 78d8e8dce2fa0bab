"""Whatever a server answers or a task asks: a provider says what is wrong with it, and never breaks on it."""

import copy
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.core.errors import InputError
from taskfleet.core.outcome import EndpointDown
from taskfleet.providers import open_provider
from taskfleet.providers.answer import Answer, NoAnswer
from taskfleet.providers.anthropic import ANTHROPIC
from taskfleet.providers.call import Call
from taskfleet.providers.dialect import MANY_TOKENS, Dialect
from taskfleet.providers.ollama import OLLAMA
from taskfleet.providers.openai import OPENAI
from taskfleet.providers.streams import ErrorInStream, NotACompletion
from tests.support import modelstub

CALLED = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ANSWERS: dict[str, tuple[Dialect, dict[str, Any]]] = {
    "openai": (OPENAI, {"choices": [{"message": {"content": "x", "tool_calls": [CALLED]}}], "usage": {"total": 1}}),
    "ollama": (
        OLLAMA,
        {"message": {"content": "x", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}, "done": True},
    ),
    "anthropic": (
        ANTHROPIC,
        {"type": "message", "content": [{"type": "tool_use", "id": "c", "name": "f"}], "usage": {"input_tokens": 1}},
    ),
}
CHUNKS: dict[str, tuple[Dialect, list[dict[str, Any]]]] = {
    "openai": (
        OPENAI,
        [
            {"choices": [{"index": 0, "delta": {"tool_calls": [CALLED]}, "finish_reason": "stop"}]},
            {"error": {"code": 1}},
        ],
    ),
    "ollama": (OLLAMA, [ANSWERS["ollama"][1]]),
    "anthropic": (
        ANTHROPIC,
        [
            {"type": "message_start", "message": {"usage": {}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "c", "name": "f"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}},
            {"type": "error", "error": {"type": "overloaded_error"}},
            {"type": "message_stop"},
        ],
    ),
}
ASKED: dict[str, Any] = {
    "messages": [
        {"role": "assistant", "content": [{"type": "text", "text": "x"}], "tool_calls": [CALLED]},
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ],
    "parameters": {
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": {"function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"schema": {}}},
        "options": {"num_ctx": 1},
        "stop": "x",
        "max_tokens": 1,
    },
}
WORDS = st.sampled_from(["", "type", "text", "tool_use", "function"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
DIALECTS = list(ANSWERS)


def places(of: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in it but the whole."""
    keys = of if isinstance(of, dict) else range(len(of)) if isinstance(of, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(of[key], (*path, key))


def with_one_place_wrong(data: st.DataObject, good: Any) -> Any:
    wrong = copy.deepcopy(good)
    *path, last = data.draw(st.sampled_from(list(places(good))))
    inside = wrong
    for key in path:
        inside = inside[key]
    inside[last] = data.draw(JSON)
    return wrong


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
def test_an_answer_with_anything_wrong_in_it_is_a_completion_or_none(name: str, data: st.DataObject) -> None:
    dialect, good = ANSWERS[name]
    answer = with_one_place_wrong(data, good)
    try:
        done = dialect.completion(answer)
    except NotACompletion:
        return
    orjson.dumps([done.output, done.usage.input_tokens, done.usage.output_tokens])


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
def test_a_stream_with_anything_wrong_in_it_is_a_completion_or_none(name: str, data: st.DataObject) -> None:
    dialect, good = CHUNKS[name]
    stream = dialect.stream(lambda *_piece: None)
    try:
        for chunk in with_one_place_wrong(data, good):
            line = orjson.dumps(chunk)
            for each in [line] if dialect is OLLAMA else [b"data: " + line, b""]:
                stream.line(each)
        stream.whole()
    except (NotACompletion, ErrorInStream, NoAnswer):
        pass


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
def test_a_task_with_anything_wrong_in_it_is_sent_or_refused_in_words(name: str, data: st.DataObject) -> None:
    asked = with_one_place_wrong(data, ASKED)
    messages, parameters = asked["messages"], asked["parameters"]
    if not isinstance(parameters, dict) or not isinstance(messages, list):
        return  # such a task is refused when it is submitted
    call = Call("m", [each for each in messages if isinstance(each, dict)], 1.0, parameters)
    try:
        orjson.dumps(ANSWERS[name][0].request(call))
    except InputError as refused:
        assert ":" in str(refused), "it names the field"


@pytest.mark.parametrize("name", DIALECTS)
def test_numbers_of_tokens_beyond_all_sense_count_as_none(name: str) -> None:
    dialect, good = ANSWERS[name]
    for many in (MANY_TOKENS, 2**64 - 1):
        names = ("prompt_tokens", "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        usage = dict.fromkeys(names, many)
        assert dialect.completion(good | {"usage": usage, "prompt_eval_count": many}).usage.input_tokens == 0


@pytest.mark.parametrize(
    ("name", "flat", "deep"),
    [
        ("openai", '"content":"x"', '"content":'),
        ("ollama", '"arguments":{}', '"arguments":'),
        ("anthropic", '"name":"f"', '"name":"f","input":'),
    ],
)
async def test_an_answer_that_could_not_be_written_again_is_rubbish(
    name: str, flat: str, deep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be kept as the task's result, and whoever writes that would break on it."""
    answer = orjson.dumps(ANSWERS[name][1]).decode().replace(flat, deep + "[" * 250 + "]" * 250)
    monkeypatch.setitem(modelstub.ANSWERS, "200-error", (200, "application/json", answer))
    async with modelstub.ModelStub() as stub:
        stub.set_fault("200-error")
        provider = open_provider(name, stub.root if name == "ollama" else stub.url)
        outcome = await provider.complete(Call("m", [{"role": "user", "content": "x"}], 5.0))
        await provider.close()
    assert isinstance(outcome, EndpointDown)
    assert outcome.error.message.startswith("a 200 that is nested too deep to be kept")


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(
    "date", ["Wed, 21 Oct 2015 07:28:00 +9999999999999999", "Mon, 01 Jan 99999999999 00:00:00 GMT", "Mon, 01"]
)
def test_a_date_beyond_all_bounds_is_no_time_to_wait(name: str, date: str) -> None:
    assert ANSWERS[name][0].refused(Answer(429, {"retry-after": date}, b"{}")).after is None  # type: ignore[union-attr]
