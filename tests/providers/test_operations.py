"""A task that is one of OpenAI's calls: sent as it is, and answered with all that the server says."""

from typing import Any

import pytest

from taskfleet.core.operation import Operation
from taskfleet.core.outcome import EndpointDown, Fatal, Ok
from taskfleet.core.task import Usage
from taskfleet.providers import Call, open_provider
from taskfleet.providers.openai import OPENAI
from taskfleet.providers.streams import NotACompletion
from tests.support.modelstub import ModelStub

HELLO = [{"role": "user", "content": "hi"}]


async def answered(stub: ModelStub, call: Call, kind: str = "openai") -> Any:
    provider = open_provider(kind, stub.root if kind == "ollama" else stub.url)
    outcome = await provider.complete(call)
    await provider.close()
    return outcome


async def test_a_chat_comes_back_whole() -> None:
    async with ModelStub() as stub:
        outcome = await answered(stub, Call("m", HELLO, 5.0, operation=Operation.CHAT))
    assert isinstance(outcome, Ok)
    assert outcome.output["id"] == "chatcmpl-stub"
    assert outcome.output["choices"][0]["finish_reason"] == "stop"
    assert outcome.usage == Usage(7, 3)


@pytest.mark.parametrize(
    ("operation", "parameters", "tokens"),
    [
        (Operation.COMPLETIONS, {"prompt": "hi", "max_tokens": 2}, Usage(7, 3)),
        (Operation.EMBEDDINGS, {"input": ["hi"], "dimensions": 3}, Usage(4, 0)),
    ],
)
async def test_what_is_no_chat_has_no_messages(operation: Operation, parameters: Any, tokens: Usage) -> None:
    async with ModelStub() as stub:
        outcome = await answered(stub, Call("m", [], 5.0, parameters, operation=operation))
        assert stub.requests[0]["body"] == {"model": "m", **parameters}
    assert isinstance(outcome, Ok)
    assert outcome.usage == tokens


async def test_a_provider_without_the_call_fails_the_task_at_once() -> None:
    async with ModelStub() as stub:
        for kind in ("ollama", "anthropic"):
            outcome = await answered(stub, Call("m", [], 5.0, {"input": "hi"}, operation=Operation.EMBEDDINGS), kind)
            assert isinstance(outcome, Fatal)
            assert outcome.error.message == "operation: this endpoint's provider has no embeddings"
        assert stub.calls.total() == 0


async def test_a_provider_of_another_protocol_answers_a_chat_with_what_was_said() -> None:
    async with ModelStub() as stub:
        outcome = await answered(stub, Call("m", HELLO, 5.0, operation=Operation.CHAT), "ollama")
    assert isinstance(outcome, Ok)
    assert outcome.output == "echo: hi"


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        (Operation.CHAT, {"choices": []}),
        (Operation.CHAT, {"choices": [{"text": "hi"}]}),
        (Operation.COMPLETIONS, {}),
        (Operation.COMPLETIONS, {"choices": [{"message": {"content": "hi"}}]}),
        (Operation.COMPLETIONS, {"choices": ["hi"]}),
        (Operation.EMBEDDINGS, {"data": []}),
        (Operation.EMBEDDINGS, {"data": [{"embedding": []}]}),
        (Operation.EMBEDDINGS, {"data": "hi"}),
    ],
)
def test_rubbish_completes_nothing(operation: Operation, answer: Any) -> None:
    with pytest.raises(NotACompletion):
        OPENAI.whole[operation](answer)


async def test_a_server_without_the_path_is_the_endpoints_trouble() -> None:
    async with ModelStub() as stub:
        stub.set_fault("404-path")
        outcome = await answered(stub, Call("m", [], 5.0, {"input": "hi"}, operation=Operation.EMBEDDINGS))
    assert isinstance(outcome, EndpointDown)
