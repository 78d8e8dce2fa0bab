"""Model servers and tools: one request in, one typed outcome out."""

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.endpoint import Provider as ProviderName
from taskfleet.providers.anthropic import ANTHROPIC
from taskfleet.providers.call import Call, Provider
from taskfleet.providers.dialect import Dialect, HttpProvider
from taskfleet.providers.http import HttpClient
from taskfleet.providers.ollama import OLLAMA
from taskfleet.providers.openai import OPENAI

__all__ = ["Call", "Provider", "open_endpoint", "open_provider"]

_DIALECTS: dict[str, Dialect] = {"openai": OPENAI, "ollama": OLLAMA, "anthropic": ANTHROPIC}


def open_provider(kind: str, url: str, api_key: str | None = None) -> Provider:
    """A provider of ``kind`` for the server at base URL ``url``; must be called on a running event loop.

    The key, if any, is sent as the protocol has it and appears in no message. ValueError for an unknown kind.
    """
    if kind not in _DIALECTS:
        raise ValueError(f"provider: {kind!r} is not known; it must be one of {', '.join(_DIALECTS)}")
    dialect, key = _DIALECTS[kind], api_key or ""
    return HttpProvider(HttpClient(url, api_key=key, headers=dialect.headers(key)), dialect)


def open_endpoint(endpoint: Endpoint, api_key: str | None = None) -> Provider:
    """The provider of an endpoint, as ``open_provider`` does. Raises InputError for tools that are not there."""
    if endpoint.provider is ProviderName.TOOLS:
        from taskfleet.providers.tools import open_tools  # libraries that no other worker has

        return open_tools(endpoint)
    return open_provider(endpoint.provider, endpoint.base_url, api_key)
