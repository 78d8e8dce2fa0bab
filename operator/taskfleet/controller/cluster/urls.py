"""Where the controller finds what a pool's workers find by a short name. No I/O."""

import ipaddress
from urllib.parse import urlsplit, urlunsplit


def url_from_elsewhere(url: str, namespace: str) -> str:
    """The URL of an endpoint as it must be written outside its pool's namespace.

    Workers run beside the Service ``llm`` and may call it so; the controller has to say ``llm.NAMESPACE.svc``. Names
    with a dot, addresses and ``localhost`` mean the same everywhere.
    """
    try:
        parts = urlsplit(url)
        host, number = parts.hostname or "", parts.port
    except ValueError:
        return url  # no URL at all, as [::::]: its probe says so
    if "." in host or host == "localhost" or _is_address(host):
        return url
    login, at, _ = parts.netloc.rpartition("@")
    port = f":{number}" if number is not None else ""
    return urlunsplit(parts._replace(netloc=f"{login}{at}{host}.{namespace}.svc{port}"))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
