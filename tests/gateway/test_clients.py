"""Clients of others, as they come, pointed at the gateway: OpenAI's for Node, LangChain's and LiteLLM's.

They are not among what our tests install: ``python hack/other_clients.py DIR``, and ``TASKFLEET_CLIENTS=DIR``.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.conftest import Site
from tests.support.modelstub import ModelStub

FOLDER = os.environ.get("TASKFLEET_CLIENTS", "")
PROGRAMS = Path(__file__).parent / "clients"
GIVEN = {"where": "north"}
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="no clients of others: python hack/other_clients.py DIR, then TASKFLEET_CLIENTS=DIR"
)


@pytest.fixture(autouse=True)
def calling(model: ModelStub) -> None:
    """The model answers whoever gives it tools with a call of one."""
    call = {"id": "call-1", "type": "function", "function": {"name": "look", "arguments": json.dumps(GIVEN)}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    model.replies.append(lambda body: message if "tools" in body else None)


async def seen_by(site: Site, runs: str, program: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(runs, str(PROGRAMS / program), f"{site.url}/v1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, trouble = await process.communicate()
    assert process.returncode == 0, trouble.decode()
    found: dict[str, Any] = json.loads(said.splitlines()[-1])  # some say more before
    return found


async def test_openais_client_for_node(served: Site) -> None:
    tool = {"name": "look", "arguments": json.dumps(GIVEN)}
    assert await seen_by(served, "node", "with_node.mjs") == {
        "chat": "echo: Hi",
        "stream": "echo: Hi",
        "tool": tool,
        "streamedTool": tool,
        "vector": [4, 0.5, -1],
        "response": "echo: Hi",
        "models": ["stub"],
        "error": ["NotFoundError", 404, "model_not_found", "model"],
        "batch": ["completed", ["a", "b"]],
        "deleted": True,
    }


async def test_langchains_client(served: Site) -> None:
    tool = {"name": "look", "arguments": GIVEN}
    assert await seen_by(served, f"{FOLDER}/bin/python", "with_langchain.py") == {
        "chat": "echo: Hi",
        "usage": 10,
        "async": "echo: Hi",
        "many": ["echo: a", "echo: b", "echo: c"],
        "stream": "echo: Hi",
        "tool": tool,
        "streamedTool": tool,
        "vector": [len('["four"]'), 0.5, -1],  # it asks for a list of one
        "error": [404, "model_not_found", "model"],
    }


async def test_litellms_client(served: Site) -> None:
    tool = {"name": "look", "arguments": json.dumps(GIVEN)}
    assert await seen_by(served, f"{FOLDER}/bin/python", "with_litellm.py") == {
        "chat": "echo: Hi",
        "usage": 10,
        "async": "echo: Hi",
        "stream": "echo: Hi",
        "tool": tool,
        "streamedTool": tool,
        "vector": [4, 0.5, -1],
        "error": [404, True],
    }
