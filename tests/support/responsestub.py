"""OpenAI's Responses API, as the stub answers and streams it."""

import json
from collections.abc import Iterator
from typing import Any


def response(model: str, prompt: str) -> dict[str, Any]:
    said = {"type": "output_text", "text": f"echo: {prompt}", "annotations": []}
    return {
        "id": "resp-stub",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "model": model,
        "output": [
            {"type": "message", "id": "msg-stub", "role": "assistant", "status": "completed", "content": [said]}
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 7,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 10,
        },
    }


def responses_stream(answer: dict[str, Any]) -> Iterator[bytes]:
    """Named events that are numbered; the last one has the whole."""
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    text = answer["output"][0]["content"][0]["text"]
    place = {"item_id": "msg-stub", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    pieces = [text[at : at + 4] for at in range(0, len(text), 4)]
    events += [{"type": "response.output_text.delta", "delta": piece, "logprobs": [], **place} for piece in pieces]
    events += [{"type": "response.output_text.done", "text": text, "logprobs": [], **place}]
    events += [{"type": "response.completed", "response": answer}]
    for number, event in enumerate(events):
        data = json.dumps({"sequence_number": number, **event})
        yield f"event: {event['type']}\ndata: {data}\n\n".encode()


FAILED = (
    b'event: response.failed\ndata: {"type": "response.failed", "sequence_number": 9, "response": {"status": "failed", '
    b'"error": {"code": "server_error", "message": "the model broke"}}}\n\n'
)
