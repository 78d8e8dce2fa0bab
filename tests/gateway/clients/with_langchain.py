"""LangChain's client, as it comes: ``python with_langchain.py URL`` prints as JSON what it has of each call."""

import asyncio
import json
import sys
from typing import Any

from langchain_core.tools import tool  # type: ignore[import-not-found]
from langchain_openai import ChatOpenAI, OpenAIEmbeddings  # type: ignore[import-not-found]
from openai import NotFoundError


@tool  # type: ignore[untyped-decorator]
def look(where: str) -> str:
    """Look somewhere."""
    return where


def seen(url: str) -> dict[str, Any]:
    there: dict[str, Any] = {"base_url": url, "api_key": "none"}
    model = ChatOpenAI(model="stub", **there)
    with_tools = model.bind_tools([look])
    # Without the check it sends texts; with it numbers of tokens, for which it asks a server of OpenAI's.
    vectors = OpenAIEmbeddings(model="stub", check_embedding_ctx_length=False, **there)
    chunks = list(with_tools.stream("Hi"))
    return {
        "chat": model.invoke("Hi").content,
        "usage": model.invoke("Hi").usage_metadata["total_tokens"],
        "async": asyncio.run(model.ainvoke("Hi")).content,
        "many": [each.content for each in model.batch(["a", "b", "c"])],
        "stream": "".join(chunk.content for chunk in model.stream("Hi")),
        "tool": plain(with_tools.invoke("Hi").tool_calls),
        "streamedTool": plain(sum(chunks[1:], chunks[0]).tool_calls),
        "vector": vectors.embed_query("four"),
        "error": refused(ChatOpenAI(model="gpt-9", **there)),
    }


def plain(calls: list[Any]) -> Any:
    ((name, given),) = [(call["name"], call["args"]) for call in calls]
    return {"name": name, "arguments": given}


def refused(model: Any) -> Any:
    try:
        model.invoke("Hi")
    except NotFoundError as error:
        return [error.status_code, error.code, error.param]
    return None


if __name__ == "__main__":
    print(json.dumps(seen(sys.argv[1])))
