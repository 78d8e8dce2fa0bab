"""What a call sends and what a good answer comes to; and that keys stay where they belong."""

import asyncio
import logging
from typing import Any

import pytest

from taskfleet.core.outcome import EndpointDown, Fatal, Ok
from taskfleet.core.task import Usage
from taskfleet.providers import Call, open_provider
from taskfleet.providers.openai import OPENAI
from taskfleet.providers.streams import NotACompletion
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually

KEY = "sk-very-secret-indeed"


def completion(*messages: dict[str, Any], usage: Any = None) -> Any:
    choices = [{"index": index, "message": message} for index, message in enumerate(messages)]
    return OPENAI.completion({"choices": choices, "usage": usage})


async def test_a_completion_is_its_text_and_its_tokens() -> None:
    async with ModelStub() as stub:
        provider = open_provider("openai", stub.url + "/")
        outcome = await provider.complete(Call("m", [{"role": "user", "content": "hi"}], 5.0))
        await provider.close()
    assert outcome == Ok("echo: hi", Usage(7, 3))


async def test_parameters_go_to_the_server_untouched() -> None:
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    parameters = {"temperature": 0, "max_tokens": 5, "guided_json": {"type": "object"}, "stop": ["\n"]}
    async with ModelStub() as stub:
        provider = open_provider("openai", stub.url)
        await provider.complete(Call("remote-name", messages, 5.0, parameters))
        await provider.close()
    assert stub.requests[0]["body"] == {"model": "remote-name", "messages": messages, **parameters}


@pytest.mark.parametrize("name", ["stream", "model", "messages"])
async def test_a_task_may_not_set_what_is_ours(name: str) -> None:
    async with ModelStub() as stub:
        provider = open_provider("openai", stub.url)
        outcome = await provider.complete(Call("m", [], 5.0, {name: True}))
        await provider.close()
        assert stub.calls.total() == 0
    assert isinstance(outcome, Fatal)
    assert outcome.error.message == f"parameters: a task may not set {name}"


async def test_the_key_is_sent_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with ModelStub(api_key=KEY) as stub:
        provider = open_provider("openai", stub.url, KEY)
        outcome = await provider.complete(Call("m", [{"role": "user", "content": "a private prompt"}], 5.0))
        await provider.close()
    assert isinstance(outcome, Ok)
    assert KEY not in caplog.text
    assert "a private prompt" not in caplog.text


async def test_a_key_that_the_server_repeats_is_taken_out_of_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support import modelstub

    monkeypatch.setitem(modelstub.ANSWERS, "401", (401, "text/plain", f"no such key {KEY}"))
    async with ModelStub() as stub:
        stub.set_fault("401")
        provider = open_provider("openai", stub.url, KEY)
        outcome = await provider.complete(Call("m", [], 5.0))
        await provider.close()
    assert isinstance(outcome, EndpointDown)
    assert outcome.error.message == "the endpoint refuses our API key (401): no such key ***"


async def test_cancelling_a_call_closes_its_connection() -> None:
    async with ModelStub() as stub:
        stub.hold()
        provider = open_provider("openai", stub.url)
        call = asyncio.create_task(provider.complete(Call("m", [{"role": "user", "content": "x"}], 60.0)))
        await eventually(lambda: stub.inflight == 1, "the call to arrive")
        call.cancel()
        await eventually(lambda: stub.hung_up == 1, "the stub to see that its client is gone")
        assert call.cancelled()
        await provider.close()


async def test_calls_reuse_connections() -> None:
    async with ModelStub() as stub:
        provider = open_provider("openai", stub.url)
        for _ in range(5):
            await provider.complete(Call("m", [{"role": "user", "content": "x"}], 5.0))
        await provider.close()
    assert len({request["port"] for request in stub.requests}) == 1


def test_tool_calls_keep_the_whole_message() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]}
    assert completion(message) == Ok(message)


def test_an_empty_text_is_a_completion() -> None:
    assert completion({"role": "assistant", "content": ""}) == Ok("")


def test_reasoning_without_an_answer_is_kept_whole() -> None:
    message = {"role": "assistant", "content": None, "reasoning_content": "hm"}
    assert completion(message) == Ok(message)


def test_several_choices_are_all_kept() -> None:
    outcome = completion({"content": "a"}, {"content": "b"})
    assert [choice["message"]["content"] for choice in outcome.output["choices"]] == ["a", "b"]


@pytest.mark.parametrize("choices", [[None], ["text"], [{}], [{"message": {}}], [{"message": {"content": "a"}}, {}]])
def test_choices_without_a_message_are_no_completion(choices: list[Any]) -> None:
    with pytest.raises(NotACompletion):
        OPENAI.completion({"choices": choices})


@pytest.mark.parametrize("usage", [None, [], {"prompt_tokens": None, "completion_tokens": "3"}, {"prompt_tokens": -1}])
def test_usage_that_the_server_did_not_count_is_zero(usage: Any) -> None:
    assert completion({"content": "a"}, usage=usage) == Ok("a", Usage(0, 0))


def test_an_unknown_provider_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="provider: 'smoke-signals' is not known"):
        open_provider("smoke-signals", "http://localhost")
