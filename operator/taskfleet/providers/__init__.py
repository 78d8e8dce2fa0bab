"""Model servers: one request in, one typed outcome out."""

from taskfleet.providers.anthropic import ANTHROPIC
from taskfleet.providers.call import Call, Provider
from taskfleet.providers.dialect import Dialect, HttpProvider
from taskfleet.providers.http import HttpClient
from taskfleet.providers.ollama import OLLAMA
from taskfleet.providers.openai import OPENAI

__all__ = ["Call", "Provider", "open_provider"]

_DIALECTS: dict[str, Dialect] = {"openai": OPENAI, "ollama": OLLAMA, "anthropic": ANTHROPIC}


def open_provider(kind: str, url: str, api_key: str | None = None) -> Provider:
    """A provider of ``kind`` for the server at base URL ``url``; must be called on a running event loop.

    The key, if any, is sent as the protocol has it and appears in no message. ValueError for an unknown kind.
    """
    if kind not in _DIALECTS:
        raise ValueError(f"provider: {kind!r} is not known; it must be one of {', '.join(_DIALECTS)}")
    dialect, key = _DIALECTS[kind], api_key or ""
    return HttpProvider(HttpClient(url, api_key=key, headers=dialect.headers(key)), dialect)
