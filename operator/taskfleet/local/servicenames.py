"""Names of Services on a machine without a cluster, so that one manifest serves both.

``http://llm:8080/v1`` means the Service ``llm`` in a cluster. Here, where nothing has that name, it means port 8080
of this machine. A name that the network knows (a host at home, another container) is left alone.
"""

import asyncio
import dataclasses
import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.manifests import Manifests
from taskfleet.api.workerpool import WorkerPool

THIS_MACHINE = "127.0.0.1"
LOOKUP_SECONDS = 2.0


async def on_this_machine(manifests: Manifests, tell: Callable[[str], None]) -> Manifests:
    """The manifests with every endpoint that nobody could find here moved to this machine, which is told."""
    names = {name for pool in manifests.pools for endpoint in pool.spec.endpoints if (name := _service_name(endpoint))}
    unknown = {name for name in sorted(names) if not await _is_known(name)}
    if not unknown:
        return manifests
    return dataclasses.replace(manifests, pools=[_moved(pool, unknown, tell) for pool in manifests.pools])


def _service_name(endpoint: Endpoint) -> str | None:
    """The host of an endpoint if it is one word, as a Service in the pool's namespace is; None otherwise."""
    host = urlsplit(endpoint.base_url).hostname
    if host is None or host == "localhost" or "." in host:
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return None


async def _is_known(name: str) -> bool:
    """Whether the network knows the name. A network that does not say within a moment does not."""
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            await asyncio.get_running_loop().getaddrinfo(name, None)
    except (OSError, TimeoutError):
        return False
    return True


def _moved(pool: WorkerPool, unknown: set[str], tell: Callable[[str], None]) -> WorkerPool:
    endpoints = []
    for endpoint in pool.spec.endpoints:
        name = _service_name(endpoint)
        if name in unknown:
            url = _with_host(endpoint.base_url, THIS_MACHINE)
            tell(f"endpoint {endpoint.name}: no host here is called {name}, so it is taken to be {url}")
            endpoints.append(endpoint.model_copy(update={"url": url}))
        else:
            endpoints.append(endpoint)
    return pool.model_copy(update={"spec": pool.spec.model_copy(update={"endpoints": endpoints})})


def _with_host(url: str, host: str) -> str:
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{host}{port}"))
