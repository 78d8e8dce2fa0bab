"""What servers send when they stream: an answer of theirs in pieces, as each protocol has it, and what goes wrong.

Each piece is what the server writes at once. ``pieces`` of a text are cut inside words, and inside what JSON escapes.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.support.responsestub import FAILED, responses_stream

SSE, NDJSON = "text/event-stream", "application/x-ndjson"


def pieces(text: str, size: int = 4) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _event(data: Any, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def openai_stream(answer: dict[str, Any]) -> Iterator[bytes]:
    """As OpenAI and vLLM do: the role first, an empty delta with the reason, the usage by itself, [DONE]."""

    def chunk(index: int, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "finish_reason": reason}
        return _event(head | {"choices": [choice], "usage": None})

    head = {"id": answer["id"], "object": "chat.completion.chunk", "created": 1_700_000_000, "model": answer["model"]}
    for choice in answer["choices"]:
        index, message = choice["index"], choice["message"]
        yield chunk(index, {"role": "assistant", "content": None if message["content"] is None else ""})
        for name in ("reasoning_content", "content", "refusal"):
            for piece in pieces(message.get(name) or ""):
                yield chunk(index, {name: piece})
        for number, call in enumerate(message.get("tool_calls", ())):
            named = {"name": call["function"]["name"], "arguments": ""}
            yield chunk(index, {"tool_calls": [{"index": number, **call, "function": named}]})
            for piece in pieces(call["function"]["arguments"]):
                yield chunk(index, {"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
        yield chunk(index, {}, choice["finish_reason"])
    yield b": a comment that keeps the connection open\n\n"
    yield _event(head | {"choices": [], "usage": answer["usage"]})
    yield b"data: [DONE]\n\n"


def ollama_stream(answer: dict[str, Any]) -> Iterator[bytes]:
    """One object a line; tool calls come whole, and the last line says nothing and has the counts."""

    def line(message: dict[str, Any], **more: Any) -> bytes:
        said = {"role": "assistant", "content": "", **message}
        return json.dumps({"model": answer["model"], "message": said, "done": False} | more).encode() + b"\n"

    message = answer["message"]
    for name in ("thinking", "content"):
        for piece in pieces(message.get(name) or ""):
            yield line({name: piece})
    for call in message.get("tool_calls", ()):
        yield line({"tool_calls": [call]})
    yield line({}, **{name: value for name, value in answer.items() if name != "message"})


def anthropic_stream(answer: dict[str, Any]) -> Iterator[bytes]:
    """message_start, each block with its deltas, message_delta, message_stop, and a ping between."""

    def event(kind: str, **fields: Any) -> bytes:
        return _event({"type": kind, **fields}, kind)

    usage = answer["usage"]
    begun = {**answer, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield event("message_start", message=begun)
    yield event("ping")
    for index, block in enumerate(answer["content"]):
        kind = block["type"]
        field, delta, text = {
            "text": ("text", "text_delta", block.get("text", "")),
            "thinking": ("thinking", "thinking_delta", block.get("thinking", "")),
            "tool_use": ("partial_json", "input_json_delta", json.dumps(block.get("input", {}))),
        }[kind]
        empty = {**block, "input": {}} if kind == "tool_use" else {**block, kind: ""}
        yield event("content_block_start", index=index, content_block=empty)
        for piece in pieces(text):
            yield event("content_block_delta", index=index, delta={"type": delta, field: piece})
        yield event("content_block_stop", index=index)
    yield event(
        "message_delta",
        delta={"stop_reason": answer["stop_reason"], "stop_sequence": None},
        usage={"output_tokens": usage["output_tokens"]},
    )
    yield event("message_stop")


STREAMS = {
    "/v1/chat/completions": (SSE, openai_stream),
    "/api/chat": (NDJSON, ollama_stream),
    "/v1/messages": (SSE, anthropic_stream),
    "/v1/responses": (SSE, responses_stream),
}
_OPENAI_ERROR = _event({"error": {"message": "CUDA out of memory", "type": "InternalServerError", "code": 500}})
_ANTHROPIC_ERROR = _event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error")
_OLLAMA_ERROR = b'{"error":"an error was encountered while running the model: CUDA error"}\n'

# Faults in the middle of a stream. A cut that says "whole" ends the HTTP answer properly: only the protocol shows it.
STREAM_FAULTS = ("stream-cut", "stream-cut-whole", "stream-garbage", "stream-error", "stream-stall", "no-stream")
ERRORS = {
    "/v1/chat/completions": _OPENAI_ERROR,
    "/api/chat": _OLLAMA_ERROR,
    "/v1/messages": _ANTHROPIC_ERROR,
    "/v1/responses": FAILED,
}
GARBAGE = {SSE: b"data: {not json\n\n", NDJSON: b"{not json\n"}
