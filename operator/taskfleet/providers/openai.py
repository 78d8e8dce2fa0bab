"""The OpenAI protocol, as vLLM, llama.cpp, Ollama's /v1 and OpenAI speak it: chat completions."""

from collections.abc import Mapping
from typing import Any

from taskfleet.core.outcome import Ok
from taskfleet.core.task import Usage
from taskfleet.providers.call import Call
from taskfleet.providers.dialect import Dialect, bearer, count
from taskfleet.providers.openaistream import OpenAIStream
from taskfleet.providers.streams import NotACompletion

_SAYS_SOMETHING = ("content", "tool_calls", "reasoning_content", "refusal")


def _request(call: Call) -> Mapping[str, Any]:
    return {**call.parameters, "model": call.model, "messages": call.messages}


def _completion(data: Mapping[str, Any]) -> Ok:
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices:
        raise NotACompletion("without a completion")
    messages = [message for message in map(_message, choices) if message is not None]
    if len(messages) < len(choices):
        raise NotACompletion("whose choices hold no message")
    output = said(messages[0]) if len(messages) == 1 else {"choices": choices}
    return Ok(output, _usage(data.get("usage")))


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


OPENAI = Dialect(
    "/chat/completions",
    _request,
    _completion,
    bearer,
    OpenAIStream,
    streaming={"stream": True, "stream_options": {"include_usage": True}},
)
