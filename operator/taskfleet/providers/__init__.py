"""Model servers: one request in, one typed outcome out."""

from taskfleet.providers.call import Call, Provider
from taskfleet.providers.http import HttpClient
from taskfleet.providers.openai import OpenAI

__all__ = ["Call", "Provider", "open_provider"]


def open_provider(kind: str, url: str, api_key: str | None = None) -> Provider:
    """A provider of ``kind`` for the server at base URL ``url``; must be called on a running event loop.

    The key, if any, is sent as a bearer token and appears in no message. ValueError for an unknown kind.
    """
    if kind != "openai":
        raise ValueError(f"provider: {kind!r} is not known; it must be openai")
    return OpenAI(HttpClient(url, api_key=api_key))
