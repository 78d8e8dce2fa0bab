"""A task that is one of OpenAI's calls: sent as it is, and answered with all that the server says."""

from dataclasses import replace
from typing import Any

import pytest

from taskfleet.core.operation import Operation
from taskfleet.core.outcome import EndpointDown, Fatal, Ok
from taskfleet.core.task import Usage
from taskfleet.providers import Call, open_provider
from taskfleet.providers.deltas import Deltas
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
        (Operation.RESPONSES, {"input": "hi", "instructions": "shout"}, Usage(7, 3)),
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
            assert outcome.error.message == "operation: this endpoint has no embeddings: its provider has no such call"
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
        (Operation.RESPONSES, {"choices": []}),
    ],
)
def test_rubbish_completes_nothing(operation: Operation, answer: Any) -> None:
    with pytest.raises(NotACompletion):
        OPENAI.whole[operation](answer)


@pytest.mark.parametrize("fault", ["404-path", "405"])
async def test_a_server_without_a_call_beside_chats_fails_the_task_and_not_the_endpoint(fault: str) -> None:
    """Else one request for embeddings would keep every chat off a server that has none."""
    async with ModelStub() as stub:
        stub.set_fault(fault)
        outcome = await answered(stub, Call("m", [], 5.0, {"input": "hi"}, operation=Operation.EMBEDDINGS))
        chat = await answered(stub, Call("m", HELLO, 5.0, operation=Operation.CHAT))
    assert isinstance(outcome, Fatal)
    assert outcome.error.code == "operation_not_offered"
    assert isinstance(chat, EndpointDown), "without chats nothing is at its url"


@pytest.mark.parametrize("operation", [Operation.COMPLETIONS, Operation.EMBEDDINGS])
async def test_a_call_that_comes_in_one_piece_is_not_asked_for_in_many(operation: Operation) -> None:
    """What came would be taken for rubbish, and the endpoint for one that is down."""
    told: list[Any] = []
    call = Call(
        "m", [], 5.0, {"prompt": "hi", "input": "hi"}, operation=operation, said=lambda *piece: told.append(piece)
    )
    async with ModelStub() as stub:
        outcome = await answered(stub, call)
        assert "stream" not in stub.requests[0]["body"]
    assert isinstance(outcome, Ok)
    assert told == []


STREAMED = Call("m", [], 5.0, {"input": "hello"}, operation=Operation.RESPONSES)


async def test_a_response_is_told_by_the_servers_own_events() -> None:
    told: list[dict[str, Any]] = []
    async with ModelStub() as stub:
        call = replace(STREAMED, said=lambda _index, delta, _reason: told.extend(delta["events"]))
        outcome = await answered(stub, call)
        assert stub.requests[0]["body"] == {"model": "m", "input": "hello", "stream": True}
    assert isinstance(outcome, Ok)
    assert outcome.output["output"][0]["content"][0]["text"] == "echo: hello"
    assert outcome.usage == Usage(7, 3)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert (told[0]["type"], told[-1]["type"]) == ("response.created", "response.completed")


@pytest.mark.parametrize("fault", ["stream-error", "stream-cut", "stream-garbage"])
async def test_a_response_whose_stream_breaks_is_none(fault: str) -> None:
    async with ModelStub() as stub:
        stub.set_fault(fault)
        outcome = await answered(stub, replace(STREAMED, said=lambda *_piece: None))
    assert not isinstance(outcome, Ok)


def test_events_are_kept_in_their_order_and_whole() -> None:
    deltas = Deltas()
    for number in range(3):
        deltas.add(0, {"events": [{"n": number}]})
    (shown,) = deltas.copy().as_deltas()
    assert shown["delta"] == {"events": [{"n": 0}, {"n": 1}, {"n": 2}]}
