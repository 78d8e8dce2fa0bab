"""The OpenAI protocol, as vLLM, llama.cpp, Ollama's /v1 and OpenAI speak it: chat completions."""

from collections.abc import Mapping
from typing import Any

import orjson

from taskfleet.core.outcome import EndpointDown, Fatal, Ok, Outcome, Retry
from taskfleet.core.task import TaskError, Usage
from taskfleet.providers.answers import message_in, refusal
from taskfleet.providers.call import Call
from taskfleet.providers.http import Answer, HttpClient, NoAnswer

_OURS = ("model", "messages", "stream")
_SAYS_SOMETHING = ("content", "tool_calls", "reasoning_content", "refusal")


class OpenAI:
    """A Provider over one HttpClient."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def complete(self, call: Call) -> Outcome:
        taken = [name for name in _OURS if name in call.parameters]
        if taken:
            return Fatal(TaskError("bad_request", f"parameters: a task may not set {', '.join(taken)}"))
        payload = {**call.parameters, "model": call.model, "messages": call.messages}
        try:
            answer = await self._http.post("/chat/completions", orjson.dumps(payload), call.timeout)
        except NoAnswer as failure:
            error = TaskError(failure.code, str(failure))
            return Retry(error) if failure.timed_out else EndpointDown(error, reached=failure.connected)
        return _completion(answer) if answer.status == 200 else refusal(answer)

    async def close(self) -> None:
        await self._http.close()


def _completion(answer: Answer) -> Outcome:
    """Ok, or EndpointDown for a 200 that is not a completion: rubbish never completes a task."""
    try:
        data = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        kind = answer.headers.get("Content-Type", "no content type")
        return _rubbish(f"a 200 that is not JSON ({kind}, {len(answer.body)} bytes)")
    choices = data.get("choices") if isinstance(data, Mapping) else None
    if not isinstance(choices, list) or not choices:
        words = message_in(data)
        return _rubbish(f"a 200 without a completion{': ' + words if words else ''}")
    messages = [message for message in map(_message, choices) if message is not None]
    if len(messages) < len(choices):
        return _rubbish("a 200 whose choices hold no message")
    output = _output(messages[0]) if len(messages) == 1 else {"choices": choices}
    return Ok(output, _usage(data.get("usage")))


def _rubbish(words: str) -> EndpointDown:
    return EndpointDown(TaskError("not_a_completion", words, 200))


def _message(choice: Any) -> Mapping[str, Any] | None:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if isinstance(message, Mapping) and any(name in message for name in _SAYS_SOMETHING):
        return message
    return None


def _output(message: Mapping[str, Any]) -> str | Mapping[str, Any]:
    """The text; the whole message when it says more than that (tool calls, a refusal) or has none."""
    content = message.get("content")
    if isinstance(content, str) and not message.get("tool_calls") and not message.get("refusal"):
        return content
    return message


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, Mapping):
        return Usage()
    return Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
