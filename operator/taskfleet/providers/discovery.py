"""Finds model servers on this machine, and asks a server which models it has.

All usual ports are asked at once, each within ``timeout``: a machine without any server costs one refused connection
a port. Whatever else listens there (a web application on 8000) is not taken for a model server.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from taskfleet.providers.probe import probe_client, trouble_of

HOST = "127.0.0.1"
USUAL_PORTS: Mapping[int, str] = {
    11434: "Ollama",
    8000: "vLLM",
    8080: "llama.cpp",
    1234: "LM Studio",
    30000: "SGLang",
    1337: "Jan",
    5001: "KoboldCpp",
}
ASK_SECONDS = 2.0
MOST_BYTES = 2**20  # a list of models is smaller; what is larger is something else


@dataclass(frozen=True, slots=True)
class ModelServer:
    """``url`` is the base URL for an endpoint, ``provider`` its protocol, ``models`` what it says it has."""

    url: str
    provider: str
    models: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.url} ({self.provider}: {', '.join(self.models) or 'no models'})"


class NotAModelServer(Exception):
    """Nobody there speaks a protocol that we know; the text says what was found."""


async def find_local_servers(ports: Iterable[int] = USUAL_PORTS, *, timeout: float = ASK_SECONDS) -> list[ModelServer]:  # noqa: ASYNC109
    """Model servers on 127.0.0.1, in the order of ``ports``; those without a model are left out."""
    async with probe_client() as client:
        asked = [_ask(client, f"http://{HOST}:{port}", timeout) for port in ports]
        found = await asyncio.gather(*asked, return_exceptions=True)
    for answer in found:
        if isinstance(answer, BaseException) and not isinstance(answer, NotAModelServer):
            raise answer
    return [server for server in found if isinstance(server, ModelServer) and server.models]


async def ask_server(url: str, *, timeout: float = ASK_SECONDS, api_key: str = "") -> ModelServer:  # noqa: ASYNC109
    """The server at ``url``, given with or without ``/v1``. Raises NotAModelServer."""
    async with probe_client() as client:
        return await _ask(client, url, timeout, api_key)


async def _ask(client: httpx.AsyncClient, url: str, timeout: float, api_key: str = "") -> ModelServer:  # noqa: ASYNC109
    base = url.rstrip("/")
    root = base.removesuffix("/v1")
    headers = {"Authorization": f"Bearer {api_key}", "x-api-key": api_key} if api_key else {}
    try:
        async with asyncio.timeout(timeout):
            if base == root:
                tags = await _json(client, f"{root}/api/tags", headers)
                if isinstance(tags, Mapping) and isinstance(tags.get("models"), list) and "object" not in tags:
                    return ModelServer(root, "ollama", _names(tags["models"], "name"))
            listed = await _json(client, f"{root}/v1/models", headers)
    except TimeoutError:
        raise NotAModelServer(f"no answer within {timeout:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotAModelServer(trouble_of(error)) from error
    if not isinstance(listed, Mapping) or not isinstance(listed.get("data"), list):
        raise NotAModelServer("it answers, but neither /v1/models nor /api/tags as a model server does")
    return ModelServer(f"{root}/v1", "openai", _names(listed["data"], "id"))


async def _json(client: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> Any:
    """The JSON of a 200; None for any other answer."""
    async with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code in (401, 403):
            raise NotAModelServer(f"it refuses the API key (HTTP {answer.status_code})")
        if answer.status_code != 200:
            return None
        text = bytearray()
        async for part in answer.aiter_bytes():
            text += part
            if len(text) > MOST_BYTES:
                return None
    try:
        return orjson.loads(bytes(text))
    except orjson.JSONDecodeError:
        return None


def _names(models: Iterable[Any], field: str) -> tuple[str, ...]:
    names = (model.get(field) for model in models if isinstance(model, Mapping))
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))
