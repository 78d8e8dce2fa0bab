"""How Anthropic streams a message: events that begin, grow and end its blocks. Source: its reference of streaming."""

from collections.abc import Mapping
from typing import Any

from taskfleet.providers.deltas import Said
from taskfleet.providers.streams import ErrorInStream, NotACompletion, ServerSentEvents, cut, json_of

_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "overloaded_error": 529,
}
_REASONS = {"max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter"}


class AnthropicStream(ServerSentEvents):
    """The blocks as they grow; for readers, what they say in OpenAI's form."""

    def __init__(self, said: Said) -> None:
        super().__init__()
        self._said = said
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._stopped = False

    def whole(self) -> Mapping[str, Any]:
        self._end_event()
        if not self._stopped:
            raise cut()
        return {**self._message, "content": [self._blocks[index].whole() for index in sorted(self._blocks)]}

    def _take(self, data: bytes) -> None:
        event = json_of(data)
        match event:
            case {"type": "error", "error": error}:
                kind = error.get("type") if isinstance(error, Mapping) else None
                raise ErrorInStream(_STATUSES.get(str(kind), 500), data)
            case {"type": "message_start", "message": {} as message}:
                self._message = dict(message)
            case {"type": "content_block_start", "index": int(index), "content_block": {} as block}:
                self._begin(index, block)
            case {"type": "content_block_delta", "index": int(index), "delta": {} as delta}:
                self._grow(index, delta)
            case {"type": "message_delta", "delta": {} as delta}:
                self._message |= {**delta, "usage": {**self._usage(self._message), **self._usage(event)}}
                reason = delta.get("stop_reason")
                if isinstance(reason, str):
                    self._said(0, {}, _REASONS.get(reason, "stop"))
            case {"type": "message_stop"}:
                self._stopped = True

    @staticmethod
    def _usage(event: Mapping[str, Any]) -> Mapping[str, Any]:
        usage = event.get("usage")
        return usage if isinstance(usage, Mapping) else {}

    def _begin(self, index: int, block: Mapping[str, Any]) -> None:
        number = None
        if block.get("type") == "tool_use":
            number, self._calls = self._calls, self._calls + 1
            function = {"name": block.get("name"), "arguments": ""}
            call = {"index": number, "id": block.get("id"), "type": "function", "function": function}
            self._said(0, {"tool_calls": [call]}, None)
        self._blocks[index] = _Block(block, number)

    def _grow(self, index: int, delta: Mapping[str, Any]) -> None:
        block = self._blocks.get(index)
        if block is None:
            raise NotACompletion("whose stream goes on with a block that never began")
        match delta:
            case {"type": "text_delta", "text": str(text)}:
                block.parts.append(text)
                self._said(0, {"content": text}, None)
            case {"type": "thinking_delta", "thinking": str(text)}:
                block.parts.append(text)
                self._said(0, {"reasoning_content": text}, None)
            case {"type": "input_json_delta", "partial_json": str(text)}:
                block.parts.append(text)
                self._said(0, {"tool_calls": [{"index": block.call, "function": {"arguments": text}}]}, None)


class _Block:
    """``call``: its number among the tool calls."""

    def __init__(self, begun: Mapping[str, Any], call: int | None) -> None:
        self.call = call
        self.parts: list[str] = []
        self._begun = begun

    def whole(self) -> Mapping[str, Any]:
        said = "".join(self.parts)
        match self._begun.get("type"):
            case "tool_use":
                return {**self._begun, "input": json_of(said.encode()) if said else self._begun.get("input", {})}
            case "text" | "thinking" as name:
                return {**self._begun, name: str(self._begun.get(name, "")) + said}
        return self._begun
