"""Where a store is, as its URL says: one server, a Cluster, or the Sentinels that know the primary.

    valkey://[USER:PASSWORD@]HOST[:PORT][/DATABASE]               one server, or any node of a Cluster
    valkey://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT],...          nodes of a Cluster: one that answers is enough
    valkey+sentinel://[USER:PASSWORD@]HOST[:PORT],.../PRIMARY[/DATABASE]

``valkeys`` is with TLS; ``redis`` and ``rediss`` mean the same. ``unix:///PATH`` is a socket. Behind a ``?`` options of
the library may follow, such as ``ssl_ca_certs``, a file with the authority that signed the server's certificate.
"""

from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from taskfleet.core.errors import InputError

_SCHEMES = ("valkey", "valkeys", "redis", "rediss", "unix")
_SENTINEL = "+sentinel"
_PORT, _SENTINEL_PORT = 6379, 26379
_WRITE = "write valkey://HOST:PORT"

_TLS = ("valkeys", "rediss")
_AUTHORITY = ("ssl_ca_certs", "ssl_ca_data")
# The library's own default checks that somebody vouches for the server, and not that it is this one.
_CHECKS_NAME = {"ssl_check_hostname": True}

Host = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Address:
    """``where`` names it for people, without user and password. ``primary`` is what the Sentinels call the primary,
    "" when there are none. ``hosts`` is empty for a socket."""

    where: str
    hosts: tuple[Host, ...]
    primary: str
    tls: bool
    _scheme: str
    _login: str = field(repr=False)
    _rest: str = field(repr=False)

    def url_of(self, host: Host | None) -> str:
        """The URL of one server with the login and options of this one. It may hold a password."""
        netloc = "" if host is None else f"[{host[0]}]:{host[1]}" if ":" in host[0] else f"{host[0]}:{host[1]}"
        return f"{self._scheme}://{self._login}{netloc}{self._rest}"

    @property
    def tls_options(self) -> dict[str, bool]:
        """Where its URL does not say otherwise."""
        given = parse_qs(urlsplit(self._rest).query)
        return _CHECKS_NAME if self.tls and given.get("ssl_cert_reqs") != ["none"] else {}


def trusting(url: str, authority: str) -> str:
    """The URL with the certificate of an authority (PEM), where it is with TLS and names none itself."""
    parts = urlsplit(url)
    names_one = any(name in parse_qs(parts.query) for name in _AUTHORITY)
    if not authority or names_one or parts.scheme.removesuffix(_SENTINEL) not in _TLS:
        return url
    return f"{url}{'&' if parts.query else '?'}ssl_ca_data={quote(authority, safe='')}"


def parse(url: str) -> Address:
    """Errors: InputError when it is no store URL. The URL itself is never shown: it may hold a password."""
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.removesuffix(_SENTINEL)
        sentinel = scheme != parts.scheme
        login, at, list_of_hosts = parts.netloc.rpartition("@")
        hosts = tuple(_host(text, _SENTINEL_PORT if sentinel else _PORT) for text in list_of_hosts.split(","))
    except ValueError:
        raise InputError(f"store URL: it cannot be read; {_WRITE}") from None
    if scheme not in _SCHEMES or (sentinel and scheme == "unix"):
        raise InputError(f"store URL: the scheme must be one of {', '.join(_SCHEMES)}; {_WRITE}")
    if scheme == "unix":
        return Address(parts.path, (), "", tls=False, _scheme=scheme, _login=login + at, _rest=_rest(parts, parts.path))
    primary, database = _path(parts.path, sentinel)
    if database and not database.isdecimal():
        raise InputError(f"store URL: what follows the port must be the number of a database; {_WRITE}/0")
    where = ",".join(f"{host}:{port}" for host, port in hosts) + (f" (Sentinel, {primary})" if primary else "")
    path = f"/{database}" if database else ""
    tls = scheme in _TLS
    return Address(where, hosts, primary, tls, _scheme=scheme, _login=login + at, _rest=_rest(parts, path))


def _host(text: str, default_port: int) -> Host:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "localhost", parts.port or default_port


def _path(path: str, sentinel: bool) -> tuple[str, str]:
    """The primary's name and the database."""
    if not sentinel:
        return "", path[1:]
    primary, _, database = path[1:].partition("/")
    if not primary:
        raise InputError(
            "store URL: with Sentinel the name of the primary must follow the hosts; "
            "write valkey+sentinel://HOST:26379/PRIMARY"
        )
    return primary, database


def _rest(parts: SplitResult, path: str) -> str:
    return path + (f"?{parts.query}" if parts.query else "")
