"""LiteLLM's client, as it comes: ``python with_litellm.py URL`` prints as JSON what it has of each call."""

import asyncio
import json
import sys
from typing import Any

import litellm  # type: ignore[import-not-found]

HELLO = [{"role": "user", "content": "Hi"}]
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def seen(url: str) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": "openai/stub", "messages": HELLO, "api_base": url, "api_key": "none"}
    chunks = list(litellm.completion(**asked, stream=True))
    calling = list(litellm.completion(**asked, tools=TOOLS, stream=True))
    answer = litellm.completion(**asked)
    there = {name: asked[name] for name in ("model", "api_base", "api_key")}
    return {
        "chat": answer.choices[0].message.content,
        "usage": answer.usage.total_tokens,
        "async": asyncio.run(litellm.acompletion(**asked)).choices[0].message.content,
        "stream": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
        "tool": plain(litellm.completion(**asked, tools=TOOLS)),
        "streamedTool": plain(litellm.stream_chunk_builder(calling)),
        "vector": litellm.embedding(input="four", **there).data[0]["embedding"],
        "error": refused(asked | {"model": "openai/gpt-9"}),
    }


def plain(answer: Any) -> Any:
    (call,) = answer.choices[0].message.tool_calls
    return {"name": call.function.name, "arguments": call.function.arguments}


def refused(asked: dict[str, Any]) -> Any:
    try:
        litellm.completion(**asked)
    except litellm.NotFoundError as error:
        return [error.status_code, "is not offered" in str(error)]
    return None


if __name__ == "__main__":
    print(json.dumps(seen(sys.argv[1])))
