"""Anthropic's Messages protocol. A task is written as for any other provider; blocks and tools in Anthropic's own form
pass through. Source: Anthropic's API reference (messages, errors), version 2023-06-01.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from taskfleet.core.errors import InputError
from taskfleet.core.outcome import EndpointDown, Ok, Outcome, RateLimited
from taskfleet.core.task import TaskError, Usage
from taskfleet.providers.answer import Answer
from taskfleet.providers.anthropicstream import AnthropicStream
from taskfleet.providers.call import Call
from taskfleet.providers.dialect import Dialect, count
from taskfleet.providers.openai import said
from taskfleet.providers.parts import Image, calls_of, parts_of, tool_call
from taskfleet.providers.refusals import after_seconds, refusal, server_words
from taskfleet.providers.streams import NotACompletion

VERSION = "2023-06-01"
# The protocol wants a bound; a task that names none gets this.
DEFAULT_MAX_TOKENS = 4096
OVERLOADED = 529

_SYSTEM = ("system", "developer")
_TOOL_CHOICES = {"auto": {"type": "auto"}, "required": {"type": "any"}, "none": {"type": "none"}}


def _request(call: Call) -> Mapping[str, Any]:
    others = dict(call.parameters)
    most = others.pop("max_completion_tokens", None) or others.pop("max_tokens", None) or DEFAULT_MAX_TOKENS
    others.pop("max_tokens", None)
    if "stop" in others:
        stop = others.pop("stop")
        others["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if "tools" in others:
        others["tools"] = _tools(others["tools"])
    if "tool_choice" in others:
        others["tool_choice"] = _tool_choice(others["tool_choice"])
    system, messages = _conversation(call.messages)
    if system and "system" not in others:
        others["system"] = system
    return {**others, "model": call.model, "max_tokens": most, "messages": messages}


def _tools(tools: Any) -> list[Mapping[str, Any]]:
    if not isinstance(tools, list):
        raise InputError("parameters.tools: it must be a list of tools")
    return [_tool(tool, f"parameters.tools[{number}]") for number, tool in enumerate(tools)]


def _tool(tool: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(tool, Mapping):
        raise InputError(f"{where}: it must be an object")
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, Mapping):
        return tool
    named = {name: function[name] for name in ("name", "description") if name in function}
    return {**named, "input_schema": function.get("parameters", {"type": "object"})}


def _tool_choice(choice: Any) -> Any:
    if isinstance(choice, str):
        if choice not in _TOOL_CHOICES:
            raise InputError(f"parameters.tool_choice: {choice!r} must be auto, required or none, or name a function")
        return _TOOL_CHOICES[choice]
    function = choice.get("function") if isinstance(choice, Mapping) else None
    return {"type": "tool", "name": function.get("name")} if isinstance(function, Mapping) else choice


def _conversation(messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The system prompt apart, and turns: messages of one role after another are one."""
    system: list[str] = []
    turns: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        where, role = f"messages[{number}]", message.get("role")
        if role in _SYSTEM:
            system += [part for part in parts_of(message.get("content"), f"{where}.content") if isinstance(part, str)]
            continue
        speaker = "assistant" if role == "assistant" else "user"
        blocks = _blocks(message, where)
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": speaker, "content": blocks})
    return "\n\n".join(system), turns


def _blocks(message: Mapping[str, Any], where: str) -> list[Mapping[str, Any]]:
    blocks = [_block(part) for part in parts_of(message.get("content"), f"{where}.content")]
    if message.get("role") == "tool":
        return [{"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": blocks}]
    for identity, name, arguments in calls_of(message, where):
        blocks.append({"type": "tool_use", "id": identity, "name": name, "input": arguments})
    return blocks


def _block(part: str | Image | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, Image):
        return part
    if part.url:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}


def _completion(data: Mapping[str, Any]) -> Ok:
    blocks = data.get("content")
    if data.get("type") != "message" or not isinstance(blocks, list):
        raise NotACompletion("without a completion")
    texts, calls, thoughts = [], [], []
    for block in blocks:
        match block:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "tool_use", "id": str(identity), "name": str(name)}:
                calls.append(tool_call(identity, name, block.get("input", {})))
            case {"type": "thinking", "thinking": str(thought)}:
                thoughts.append(thought)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return Ok(said(message), _usage(data.get("usage")))


def _usage(usage: Any) -> Usage:
    """What came from the server's cache was input too."""
    if not isinstance(usage, Mapping):
        return Usage()
    read = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return Usage(sum(count(usage.get(name)) for name in read), count(usage.get("output_tokens")))


def _refused(answer: Answer) -> Outcome:
    """Overload is a 529 of its own, and an empty account a 400 that every task would get."""
    words = server_words(answer)
    if answer.status == OVERLOADED:
        return RateLimited(TaskError("rate_limited", words, OVERLOADED), after_seconds(answer))
    if answer.status == 400 and "credit balance" in words:
        return EndpointDown(TaskError("no_credit", words, 400))
    return refusal(answer)


def _headers(api_key: str) -> dict[str, str]:
    return {"anthropic-version": VERSION} | ({"x-api-key": api_key} if api_key else {})


ANTHROPIC = Dialect("/messages", _request, _completion, _headers, AnthropicStream, _refused)
