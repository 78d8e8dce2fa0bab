"""What Ollama's own API and Anthropic's answer, good and bad: bodies written by hand after their documentation."""

import json
from typing import Any

ANTHROPIC_404 = "model: claude-9"
OLLAMA_404 = 'model "m" not found, try pulling it first'


def ollama_completion(model: str, prompt: str) -> dict[str, Any]:
    return {
        "model": model,
        "created_at": "2026-01-01T00:00:00.000000Z",
        "message": {"role": "assistant", "content": f"echo: {prompt}"},
        "done_reason": "stop",
        "done": True,
        "total_duration": 5_000_000,
        "prompt_eval_count": 7,
        "eval_count": 3,
    }


def anthropic_completion(model: str, prompt: str) -> dict[str, Any]:
    return {
        "id": "msg_stub",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": f"echo: {prompt}"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 4,
            "cache_creation_input_tokens": 1,
            "cache_read_input_tokens": 2,
            "output_tokens": 3,
        },
    }


def prompt_of(content: Any) -> str:
    """The text of a message, also when it is one block."""
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict) and "text" in content[0]:
        return str(content[0]["text"])
    return content if isinstance(content, str) else json.dumps(content)


def _ollama(message: str) -> str:
    return json.dumps({"error": message})


def _anthropic(kind: str, message: str) -> str:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_stub"})


_JSON = "application/json"

# kind: (status, content type, body), as in modelstub.ANSWERS
OLLAMA_ANSWERS = {
    "ollama-200-not-done": (
        200,
        _JSON,
        '{"model": "m", "message": {"role": "assistant", "content": "he"}, "done": false}',
    ),
    "ollama-200-no-message": (200, _JSON, '{"model": "m", "done": true, "done_reason": "load"}'),
    "ollama-400": (400, _JSON, _ollama("invalid options: num_ctx")),
    "ollama-404": (404, _JSON, _ollama(OLLAMA_404)),
    "ollama-404-path": (404, "text/plain", "404 page not found"),
    "ollama-500": (500, _JSON, _ollama("model runner has unexpectedly stopped")),
    "ollama-503-busy": (503, _JSON, _ollama("server busy, please try again.  maximum pending requests exceeded")),
}
ANTHROPIC_ANSWERS = {
    "anthropic-200-error": (200, _JSON, _anthropic("api_error", "Internal server error")),
    "anthropic-400": (400, _JSON, _anthropic("invalid_request_error", "messages: at least one message is required")),
    "anthropic-400-credit": (
        400,
        _JSON,
        _anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    ),
    "anthropic-401": (401, _JSON, _anthropic("authentication_error", "invalid x-api-key")),
    "anthropic-403": (403, _JSON, _anthropic("permission_error", "Your API key may not use this resource")),
    "anthropic-404": (404, _JSON, _anthropic("not_found_error", ANTHROPIC_404)),
    "anthropic-413": (413, _JSON, _anthropic("request_too_large", "Request exceeds the maximum size")),
    "anthropic-429": (429, _JSON, _anthropic("rate_limit_error", "This request would exceed your rate limit")),
    "anthropic-500": (500, _JSON, _anthropic("api_error", "Internal server error")),
    "anthropic-529": (529, _JSON, _anthropic("overloaded_error", "Overloaded")),
}
