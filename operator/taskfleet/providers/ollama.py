"""Ollama's own protocol: /api/chat, with its options, keep_alive and token counts.

A task is written as for any other provider: the usual parameters become Ollama's options, and what only Ollama knows
(``options``, ``keep_alive``, ``format``, ``think``) goes to it as it is. Source: docs/api.md of Ollama.
"""

from collections.abc import Mapping
from typing import Any

from taskfleet.core.errors import InputError
from taskfleet.core.outcome import Ok, Outcome, RateLimited
from taskfleet.core.task import TaskError, Usage
from taskfleet.providers.answer import Answer
from taskfleet.providers.call import Call
from taskfleet.providers.dialect import Dialect, bearer, count
from taskfleet.providers.ollamastream import OllamaStream, tool_calls
from taskfleet.providers.openai import said
from taskfleet.providers.parts import Image, calls_of, parts_of
from taskfleet.providers.refusals import refusal, server_words
from taskfleet.providers.streams import NotACompletion

_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "stop": "stop",
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}


def _request(call: Call) -> Mapping[str, Any]:
    options: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in call.parameters.items():
        if name in _OPTIONS:
            options[_OPTIONS[name]] = value
        elif name == "response_format":
            others["format"] = _format(value)
        elif name != "options":
            others[name] = value
    native = call.parameters.get("options", {})
    if not isinstance(native, Mapping):
        raise InputError("parameters.options: it must be an object with Ollama's options, such as num_ctx")
    if options or native:
        others["options"] = {**options, **native}
    return {**others, "model": call.model, "messages": _messages(call), "stream": False}


def _format(wanted: Any) -> Any:
    """Ollama's ``format`` for OpenAI's ``response_format``; None is no wish."""
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind == "json_object":
        return "json"
    if kind == "json_schema" and isinstance(wanted.get("json_schema"), Mapping):
        return wanted["json_schema"].get("schema")
    if kind == "text":
        return None
    raise InputError("parameters.response_format: its type must be text, json_object or json_schema")


def _messages(call: Call) -> list[dict[str, Any]]:
    tool_names: dict[str | None, str] = {}
    return [_message(message, f"messages[{number}]", tool_names) for number, message in enumerate(call.messages)]


def _message(message: Mapping[str, Any], where: str, tool_names: dict[str | None, str]) -> dict[str, Any]:
    texts, images = [], []
    for part in parts_of(message.get("content"), f"{where}.content"):
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Image) and part.data:
            images.append(part.data)
        else:
            raise InputError(f"{where}.content: Ollama takes text, and images as data: URLs in base64")
    written: dict[str, Any] = {"role": message.get("role"), "content": "\n".join(texts)}
    if images:
        written["images"] = images
    calls = []
    for identity, name, arguments in calls_of(message, where):
        tool_names[identity] = name
        calls.append({"function": {"name": name, "arguments": arguments}})
    if calls:
        written["tool_calls"] = calls
    answered = message.get("tool_call_id")
    if isinstance(answered, str) and answered in tool_names:
        written["tool_name"] = tool_names[answered]
    return written


def _completion(data: Mapping[str, Any]) -> Ok:
    message = data.get("message")
    if not isinstance(message, Mapping) or not (message.keys() & {"content", "tool_calls"}):
        raise NotACompletion("without a completion")
    if data.get("done") is not True:
        raise NotACompletion("with a completion that is not done")
    usage = Usage(count(data.get("prompt_eval_count")), count(data.get("eval_count")))
    return Ok(said(_openai_message(message)), usage)


def _openai_message(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """As OpenAI writes it."""
    found = tool_calls(message.get("tool_calls") or [])
    written = {"role": "assistant", "content": message.get("content") or ("" if not found else None)}
    if message.get("thinking"):
        written["reasoning_content"] = message["thinking"]
    return {**written, "tool_calls": found} if found else written


def _refused(answer: Answer) -> Outcome:
    """A full queue of Ollama's own is a 503 without Retry-After; it comes from load and not from the task."""
    words = server_words(answer)
    if answer.status == 503 and "busy" in words.lower():
        return RateLimited(TaskError("rate_limited", words, 503))
    return refusal(answer)


OLLAMA = Dialect("/api/chat", _request, _completion, bearer, OllamaStream, _refused)
