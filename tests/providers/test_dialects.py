"""A task is written once, in OpenAI's form: how it reaches the other protocols, and how their answers come back."""

from typing import Any

import pytest

from taskfleet.core.errors import InputError
from taskfleet.core.outcome import Fatal, Ok
from taskfleet.core.task import Usage
from taskfleet.providers import Call, open_provider
from taskfleet.providers.anthropic import ANTHROPIC
from taskfleet.providers.dialect import Dialect
from taskfleet.providers.ollama import OLLAMA
from taskfleet.providers.streams import NotACompletion
from tests.support.modelstub import ModelStub

KEY = "sk-very-secret-indeed"
PIXEL = "iVBORw0KGgo="
CONVERSATION = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "weather in Rome?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    {"role": "user", "content": "thanks"},
]
PICTURE = [
    {"type": "text", "text": "what is it?"},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "description": "the weather", "parameters": WEATHER}}


def sent(dialect: Dialect, *messages: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    return dict(dialect.request(Call("m", messages or ({"role": "user", "content": "hi"},), 5.0, parameters)))


@pytest.mark.parametrize("kind", ["openai", "ollama", "anthropic"])
async def test_a_completion_is_its_text_and_its_tokens_with_any_provider(kind: str) -> None:
    async with ModelStub(api_key=KEY) as stub:
        provider = open_provider(kind, stub.root if kind == "ollama" else stub.url, KEY)
        outcome = await provider.complete(Call("m", [{"role": "user", "content": "hi"}], 5.0, {"temperature": 0}))
        await provider.close()
    assert outcome == Ok("echo: hi", Usage(7, 3))


@pytest.mark.parametrize("kind", ["openai", "ollama", "anthropic"])
async def test_a_request_that_cannot_be_written_fails_its_task_and_is_not_sent(kind: str) -> None:
    async with ModelStub() as stub:
        provider = open_provider(kind, stub.url)
        outcome = await provider.complete(Call("m", [{"role": "user", "content": "hi"}], 5.0, {"stream": True}))
        await provider.close()
        assert stub.calls.total() == 0
    assert isinstance(outcome, Fatal) and outcome.error.code == "bad_request"


def test_ollama_gets_the_usual_parameters_as_options_and_its_own_as_they_are() -> None:
    body = sent(OLLAMA, temperature=0, max_tokens=5, stop=["x"], options={"num_ctx": 64}, keep_alive="5m", think=True)
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": False,
        "options": {"temperature": 0, "num_predict": 5, "stop": ["x"], "num_ctx": 64},
        "keep_alive": "5m",
        "think": True,
    }


@pytest.mark.parametrize(
    ("wanted", "form"),
    [
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER}}, WEATHER),
        ({"type": "text"}, None),
    ],
    ids=["json", "schema", "text"],
)
def test_ollama_gets_a_response_format_as_its_format(wanted: dict[str, Any], form: Any) -> None:
    assert sent(OLLAMA, response_format=wanted)["format"] == form


def test_ollama_gets_a_conversation_with_tools_and_pictures() -> None:
    messages = sent(OLLAMA, *CONVERSATION, {"role": "user", "content": PICTURE}, tools=[TOOL])["messages"]
    assert messages[2]["tool_calls"] == [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}]
    assert messages[3] == {"role": "tool", "content": "sunny", "tool_name": "weather"}
    assert messages[5] == {"role": "user", "content": "what is it?", "images": [PIXEL]}


def test_anthropic_gets_the_system_prompt_apart_and_turns_that_alternate() -> None:
    body = sent(ANTHROPIC, *CONVERSATION)
    assert body["system"] == "be brief"
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "weather in Rome?"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "sunny"}]},
                {"type": "text", "text": "thanks"},
            ],
        },
    ]


def test_anthropic_gets_parameters_by_its_own_names_and_a_bound_on_tokens() -> None:
    body = sent(ANTHROPIC, max_tokens=9, stop="x", temperature=0.5, tools=[TOOL], tool_choice="required", top_k=3)
    assert body["max_tokens"] == 9 and "stop" not in body
    assert (body["stop_sequences"], body["temperature"], body["top_k"]) == (["x"], 0.5, 3)
    assert body["tools"] == [{"name": "weather", "description": "the weather", "input_schema": WEATHER}]
    assert body["tool_choice"] == {"type": "any"}
    assert sent(ANTHROPIC)["max_tokens"] == 4096
    assert sent(ANTHROPIC, max_completion_tokens=7, max_tokens=9)["max_tokens"] == 7


def test_what_is_already_in_anthropic_s_own_form_passes_through() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    cached = {"type": "text", "text": "a long document", "cache_control": {"type": "ephemeral"}}
    body = sent(ANTHROPIC, {"role": "user", "content": [cached]}, tools=[search], thinking={"type": "enabled"})
    assert body["tools"] == [search] and body["thinking"] == {"type": "enabled"}
    assert body["messages"] == [{"role": "user", "content": [cached]}]


def test_anthropic_gets_pictures_as_blocks() -> None:
    elsewhere = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    (turn,) = sent(ANTHROPIC, {"role": "user", "content": [*PICTURE, elsewhere]})["messages"]
    assert [block.get("source") for block in turn["content"]] == [
        None,
        {"type": "base64", "media_type": "image/png", "data": PIXEL},
        {"type": "url", "url": "https://example.com/a.png"},
    ]


def test_a_tool_call_comes_back_the_same_from_both() -> None:
    arguments = '{"city":"Rome"}'
    ollama = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}],
    }
    anthropic = [{"type": "tool_use", "id": "call_0", "name": "weather", "input": {"city": "Rome"}}]
    expected = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": arguments}}],
    }
    assert OLLAMA.completion({"message": ollama, "done": True}).output == expected
    assert ANTHROPIC.completion({"type": "message", "content": anthropic}).output == expected


def test_thoughts_are_kept_apart_only_when_a_text_says_it_all() -> None:
    thought = {"type": "thinking", "thinking": "hm"}
    text = {"type": "text", "text": "yes"}
    assert ANTHROPIC.completion({"type": "message", "content": [thought, text]}).output == "yes"
    assert ANTHROPIC.completion({"type": "message", "content": []}).output == ""


@pytest.mark.parametrize(
    ("dialect", "message", "parameters", "words"),
    [
        (OLLAMA, {"content": 7}, {}, r"messages\[0\].content: it must be text or a list of parts"),
        (OLLAMA, {"content": ["hi"]}, {}, r"messages\[0\].content\[0\]: it must be an object with a type"),
        (OLLAMA, {"content": [{"type": "image_url", "image_url": {"url": "https://x/a.png"}}]}, {}, "data: URLs"),
        (OLLAMA, {"content": [{"type": "image_url"}]}, {}, r"image_url: it must be an object with a url"),
        (OLLAMA, {"content": [{"type": "input_audio"}]}, {}, "Ollama takes text, and images"),
        (OLLAMA, {"content": "x"}, {"options": 5}, r"parameters.options: it must be an object"),
        (OLLAMA, {"content": "x"}, {"response_format": "json"}, r"parameters.response_format: its type must be"),
        (ANTHROPIC, {"content": None, "tool_calls": [{"function": {}}]}, {}, r"tool_calls\[0\].function: it must have"),
        (
            ANTHROPIC,
            {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]},
            {},
            r"function.arguments: it must be a JSON object",
        ),
        (ANTHROPIC, {"content": "x"}, {"tools": ["f"]}, r"parameters.tools\[0\]: it must be an object"),
        (ANTHROPIC, {"content": "x"}, {"tool_choice": "maybe"}, r"parameters.tool_choice: 'maybe' must be auto"),
    ],
)
def test_what_a_protocol_cannot_say_is_refused_with_its_place(
    dialect: Dialect, message: dict[str, Any], parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        sent(dialect, {"role": "assistant", **message}, **parameters)


@pytest.mark.parametrize(
    ("dialect", "answer"),
    [
        (OLLAMA, {}),
        (OLLAMA, {"message": {"role": "assistant"}, "done": True}),
        (OLLAMA, {"message": {"content": None, "tool_calls": [{}]}, "done": True}),
        (ANTHROPIC, {}),
        (ANTHROPIC, {"type": "message"}),
        (ANTHROPIC, {"type": "completion", "content": []}),
    ],
)
def test_rubbish_is_no_completion(dialect: Dialect, answer: dict[str, Any]) -> None:
    with pytest.raises(NotACompletion):
        dialect.completion(answer)
