"""The servers behind a store, each kind in the same few words: one server, Sentinels and a primary, a Cluster."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import valkey.asyncio as valkey
from valkey.asyncio.cluster import ClusterNode
from valkey.asyncio.connection import parse_url
from valkey.exceptions import ValkeyClusterException

from taskfleet.core.errors import InputError
from taskfleet.store.address import Address, Host
from taskfleet.store.line import Argument, Line
from taskfleet.store.subscription import Hear, Lost, Subscription, subscribed


class Servers(Protocol):
    """What ``Connection`` asks of them. All raise what the library raises; after a loss the next call works again."""

    async def execute(self, *command: Argument) -> Any:
        """The reply of one command; all of its keys must be of one queue. TimeoutError when it takes too long."""
        ...

    async def scan(self, prefix: str, cursor: int, pattern: str, count: int) -> tuple[int, Sequence[bytes]]:
        """One step of SCAN where the keys with this prefix are."""
        ...

    def subscriber(self, hear: Hear, lost: Lost) -> AbstractAsyncContextManager[Subscription]:
        """A connection that hears what is published on any of them."""
        ...

    async def close(self) -> None: ...


class OneServer:
    """A server, or the primary that Sentinels name: then each new connection asks them anew."""

    def __init__(self, client: valkey.Valkey, timeout: float, sentinels: Sequence[valkey.Valkey] = ()) -> None:
        self._client = client
        self._timeout = timeout
        self._line = Line(client.connection_pool, timeout)
        self._sentinels = sentinels
        self._forms: Mapping[Any, Callable[[Any], Any]] = client.response_callbacks

    async def info(self) -> dict[str, Any]:
        """``INFO server``."""
        found: dict[str, Any] = await self.execute("INFO", "server")
        return found

    async def execute(self, *command: Argument) -> Any:
        reply = await self._line.execute(*command)
        form = self._forms.get(command[0])  # the library's, as a Cluster's replies have it
        return form(reply) if form else reply

    async def scan(self, prefix: str, cursor: int, pattern: str, count: int) -> tuple[int, Sequence[bytes]]:
        reply: tuple[int, Sequence[bytes]] = await self.execute("SCAN", cursor, "MATCH", pattern, "COUNT", count)
        return reply

    def subscriber(self, hear: Hear, lost: Lost) -> AbstractAsyncContextManager[Subscription]:
        return subscribed(self._client.connection_pool, self._timeout, hear, lost)

    async def close(self) -> None:
        await self._line.close()
        for client in (self._client, *self._sentinels):
            await client.aclose()
            await client.connection_pool.disconnect()


class Cluster:
    """A Cluster: each queue is on the node that has its slot, whichever that is at the moment."""

    def __init__(self, address: Address, timeout: float) -> None:
        options = _options(address, address.hosts[0], timeout)
        options.pop("db", None)
        if options.pop("connection_class", None) is not None:
            options["ssl"] = True
        self._address = address
        self._timeout = timeout
        self._client = valkey.ValkeyCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
            # Names of a cluster in Kubernetes outlive the addresses that its nodes tell of themselves.
            dynamic_startup_nodes=False,
            # A command that got no answer may have been carried out: whoever sent it decides what then.
            cluster_error_retry_attempts=0,
            connection_error_retry_attempts=1,
            **{name: value for name, value in options.items() if name not in ("host", "port")},
        )
        self._start = dict(self._client.nodes_manager.startup_nodes)

    async def execute(self, *command: Argument) -> Any:
        # The library forgets a node that failed, and would end up knowing none after a loss of all.
        self._client.nodes_manager.startup_nodes.update(self._start)
        async with asyncio.timeout(self._timeout):
            return await self._client.execute_command(*command)

    async def scan(self, prefix: str, cursor: int, pattern: str, count: int) -> tuple[int, Sequence[bytes]]:
        async with asyncio.timeout(self._timeout):
            await self._client.initialize()
            node = self._client.get_node_from_key(prefix)
            if node is None:  # the slots are being mapped anew
                raise ValkeyClusterException(f"no node has the slot of {prefix}")
            reply: tuple[int, Sequence[bytes]] = await node.execute_command(
                "SCAN", cursor, "MATCH", pattern, "COUNT", count
            )
        return reply

    @asynccontextmanager
    async def subscriber(self, hear: Hear, lost: Lost) -> AsyncIterator[Subscription]:
        """On any node: a Cluster passes on to all of them what one is told. Another one after each loss."""
        known = [(node.host, int(node.port)) for node in self._client.get_nodes()] or self._address.hosts
        client = _client(self._address, random.choice(known), self._timeout)
        async with client, subscribed(client.connection_pool, self._timeout, hear, lost) as subscription:
            yield subscription

    async def close(self) -> None:
        await self._client.aclose()
        # After a loss, until it has found its nodes anew, the library leaves their connections open.
        for known in ("nodes_cache", "startup_nodes"):
            await self._client.nodes_manager.aclose(known)
        for node in self._start.values():  # one that it has replaced by another since
            await node.disconnect()


def one_server(address: Address, host: Host | None, timeout: float) -> OneServer:
    """The server at one of the hosts, or at the socket. Errors: InputError for options of the URL."""
    return OneServer(_client(address, host, timeout), timeout)


def behind_sentinels(address: Address, timeout: float) -> OneServer:
    """The primary of that name. The login is for the servers and, where they ask for one, the Sentinels."""
    options = _options(address, address.hosts[0], timeout)
    ssl = options.pop("connection_class", None) is not None
    shared = {name: value for name, value in options.items() if name not in ("host", "port", "db")} | {"ssl": ssl}
    sentinels: Any = valkey.Sentinel(address.hosts, sentinel_kwargs=shared)  # type: ignore[no-untyped-call]
    primary = sentinels.master_for(address.primary, **shared, db=options.get("db", 0))
    return OneServer(primary, timeout, sentinels=sentinels.sentinels)


def _client(address: Address, host: Host | None, timeout: float) -> valkey.Valkey:
    url = address.url_of(host)
    try:
        pool = valkey.ConnectionPool.from_url(url, **address.tls_options, **_socket_options(address, timeout))
        pool.connection_class(**pool.connection_kwargs)  # else an unknown option would show at the first call
    except (TypeError, ValueError):
        raise _bad_options(url) from None
    return valkey.Valkey(connection_pool=pool)


def _options(address: Address, host: Host, timeout: float) -> dict[str, Any]:
    url = address.url_of(host)
    try:
        return {**address.tls_options, **parse_url(url), **_socket_options(address, timeout)}
    except (TypeError, ValueError):
        raise _bad_options(url) from None


def _socket_options(address: Address, timeout: float) -> dict[str, Any]:
    """``socket_timeout`` None: the library's own works through asyncio.wait_for, which on Python 3.11 swallows a
    cancellation that comes as a write ends; ``execute`` has a time limit of its own."""
    keepalive = {"socket_keepalive": True} if address.hosts else {}
    return {"socket_timeout": None, "socket_connect_timeout": timeout, **keepalive}


def _bad_options(url: str) -> InputError:
    options = ", ".join(parse_qs(urlsplit(url).query, keep_blank_values=True))
    return InputError(f"store URL: the options after ? cannot be used ({options}); remove them")
