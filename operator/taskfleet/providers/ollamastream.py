"""How Ollama streams a completion: one JSON object a line, each with the next piece of the message."""

from collections.abc import Mapping
from typing import Any

from taskfleet.providers.deltas import Said
from taskfleet.providers.parts import tool_call
from taskfleet.providers.streams import ErrorInStream, NotACompletion, cut, json_of


class OllamaStream:
    """The last line is done and has the counts."""

    def __init__(self, said: Said) -> None:
        self._said = said
        self._content: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[Any] = []
        self._last: Mapping[str, Any] | None = None

    def line(self, line: bytes) -> None:
        if not line.strip():
            return
        piece = json_of(line)
        if "error" in piece:
            raise ErrorInStream(500, line)
        message = piece.get("message")
        if isinstance(message, Mapping):
            self._take(message)
        if piece.get("done") is True:
            self._last = piece
            reason = "length" if piece.get("done_reason") == "length" else "stop"
            self._said(0, {}, "tool_calls" if self._calls else reason)

    def whole(self) -> Mapping[str, Any]:
        if self._last is None:
            raise cut()
        message: dict[str, Any] = {"content": "".join(self._content)}
        if self._thinking:
            message["thinking"] = "".join(self._thinking)
        if self._calls:
            message["tool_calls"] = self._calls
        nothing = "message" not in self._last and message == {"content": ""}
        return self._last if nothing else {**self._last, "message": message}

    def _take(self, message: Mapping[str, Any]) -> None:
        self._take_text(message.get("content"), self._content, "content")
        self._take_text(message.get("thinking"), self._thinking, "reasoning_content")
        if calls := message.get("tool_calls"):
            first = len(self._calls)
            self._calls += _listed(calls)
            written = tool_calls(self._calls)[first:]
            self._said(0, {"tool_calls": [{"index": first + n, **call} for n, call in enumerate(written)]}, None)

    def _take_text(self, text: Any, parts: list[str], name: str) -> None:
        if isinstance(text, str) and text:
            parts.append(text)
            self._said(0, {name: text}, None)


def _listed(calls: Any) -> list[Any]:
    """Errors: NotACompletion."""
    if not isinstance(calls, list):
        raise NotACompletion("with tool calls that are no list")
    return calls


def tool_calls(calls: Any) -> list[dict[str, Any]]:
    """As OpenAI writes them, with ids, which Ollama does not give. Errors: NotACompletion."""
    found = []
    for number, call in enumerate(_listed(calls)):
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or "name" not in function:
            raise NotACompletion("with a tool call that has no name")
        found.append(tool_call(f"call_{number}", function["name"], function.get("arguments", {})))
    return found
