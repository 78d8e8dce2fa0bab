"""The OpenAI protocol, as vLLM, llama.cpp, Ollama's /v1 and OpenAI speak it."""

from collections.abc import Mapping
from typing import Any

from taskfleet.core.operation import Operation
from taskfleet.core.outcome import Ok
from taskfleet.core.task import Usage
from taskfleet.providers.call import Call
from taskfleet.providers.dialect import Dialect, bearer, count
from taskfleet.providers.openaistream import OpenAIStream
from taskfleet.providers.responsesstream import ResponsesStream
from taskfleet.providers.streams import NotACompletion

_SAYS_SOMETHING = ("content", "tool_calls", "reasoning_content", "refusal")


def _request(call: Call) -> Mapping[str, Any]:
    asked = {"messages": call.messages} if call.operation in (None, Operation.CHAT) else {}
    return {**call.parameters, "model": call.model, **asked}


def _completion(data: Mapping[str, Any]) -> Ok:
    choices = _listed(data, "choices", "without a completion")
    messages = [message for message in map(_message, choices) if message is not None]
    if len(messages) < len(choices):
        raise NotACompletion("whose choices hold no message")
    output = said(messages[0]) if len(messages) == 1 else {"choices": choices}
    return Ok(output, _usage(data.get("usage")))


def _whole_chat(data: Mapping[str, Any]) -> Ok:
    return Ok(data, _completion(data).usage)


def _whole_text(data: Mapping[str, Any]) -> Ok:
    choices = _listed(data, "choices", "without a completion")
    if not all(isinstance(choice, Mapping) and isinstance(choice.get("text"), str) for choice in choices):
        raise NotACompletion("whose choices hold no text")
    return Ok(data, _usage(data.get("usage")))


def _whole_embeddings(data: Mapping[str, Any]) -> Ok:
    found = _listed(data, "data", "without an embedding")
    if not all(isinstance(each, Mapping) and each.get("embedding") for each in found):
        raise NotACompletion("whose data hold no embedding")
    return Ok(data, _usage(data.get("usage")))


def _whole_response(data: Mapping[str, Any]) -> Ok:
    if not isinstance(data.get("output"), list):
        raise NotACompletion("without an output")
    usage = data.get("usage")
    counts = usage if isinstance(usage, Mapping) else {}
    return Ok(data, Usage(count(counts.get("input_tokens")), count(counts.get("output_tokens"))))


def _listed(data: Mapping[str, Any], name: str, lack: str) -> list[Any]:
    found = data.get(name)
    if not isinstance(found, list) or not found:
        raise NotACompletion(lack)
    return found


def _message(choice: Any) -> Mapping[str, Any] | None:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if isinstance(message, Mapping) and any(name in message for name in _SAYS_SOMETHING):
        return message
    return None


def said(message: Mapping[str, Any]) -> str | Mapping[str, Any]:
    """The text of an OpenAI message; all of it when it says more than that (tool calls, a refusal) or has none."""
    content = message.get("content")
    if isinstance(content, str) and not message.get("tool_calls") and not message.get("refusal"):
        return content
    return message


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, Mapping):
        return Usage()
    return Usage(count(usage.get("prompt_tokens")), count(usage.get("completion_tokens")))


_WHOLE = {
    Operation.CHAT: _whole_chat,
    Operation.COMPLETIONS: _whole_text,
    Operation.EMBEDDINGS: _whole_embeddings,
    Operation.RESPONSES: _whole_response,
}
OPENAI = Dialect(
    "/chat/completions",
    _request,
    _completion,
    bearer,
    OpenAIStream,
    streaming={"stream": True, "stream_options": {"include_usage": True}},
    whole=_WHOLE,
    streams={Operation.RESPONSES: ({"stream": True}, ResponsesStream)},
)
