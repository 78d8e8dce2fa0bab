"""Whether a model server is there. Probes are few, so httpx serves (docs/adr/0003-http-client.md)."""

import ssl

import httpx


def probe_client() -> httpx.AsyncClient:
    """A client that finds servers as the workers' does: through no proxy, and trusting whom the machine trusts."""
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(timeout=None, limits=limits, trust_env=False, verify=ssl.create_default_context())


async def probe(client: httpx.AsyncClient, url: str, path: str, timeout: float) -> str:  # noqa: ASYNC109  httpx's own
    """Ask ``url`` + ``path``: "" when it is healthy, else its trouble in words. ``timeout`` is in seconds.

    Any answer below 500 is healthy: a server that refuses our key or does not know the path is there.
    """
    try:
        async with client.stream("GET", url.rstrip("/") + path, timeout=timeout) as answer:
            return f"HTTP {answer.status_code}" if answer.status_code >= 500 else ""
    except httpx.TimeoutException:
        return f"no answer within {timeout:g} s"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return trouble_of(error)


def trouble_of(error: httpx.HTTPError | httpx.InvalidURL) -> str:
    """Why there was no answer, in words."""
    if isinstance(error, httpx.ConnectError):
        return _connect_trouble(error)
    return str(error) or type(error).__name__


def _connect_trouble(error: httpx.ConnectError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason or cause}"
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        cause = cause.__cause__ or cause.__context__
    return str(error) or "no connection"
