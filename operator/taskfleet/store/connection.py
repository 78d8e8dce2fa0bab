"""One store: opening, checking, calling it, and turning every trouble of the library into one of our errors."""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

from valkey import exceptions as trouble

from taskfleet.core.errors import InputError, StoreError, StoreSchemaMismatch, StoreTooOld, StoreUnreachable
from taskfleet.core.task import QueueKey
from taskfleet.store import keys, lua
from taskfleet.store.address import parse
from taskfleet.store.line import Argument
from taskfleet.store.servers import Cluster, OneServer, Servers, behind_sentinels, one_server
from taskfleet.store.subscription import Hear, Lost, Subscription
from taskfleet.store.troubles import explain

MIN_VALKEY = (7, 2)
MIN_REDIS = (6, 2)
# What uvloop raises, a RuntimeError, for writing on a connection that was reset; the library lets it through.
_UVLOOP_CLOSED = "the handler is closed"


def check_version(info: Mapping[str, Any], where: str) -> None:
    """StoreTooOld unless the ``INFO server`` in ``info`` is of Valkey 7.2 or Redis 6.2 or newer."""
    name, field, least = ("Valkey", "valkey_version", MIN_VALKEY)
    if field not in info:
        name, field, least = ("Redis", "redis_version", MIN_REDIS)
    found = str(info.get(field, "0"))
    numbers = tuple(int(part) if part.isdigit() else 0 for part in found.split(".")[:2])
    if numbers < least:
        raise StoreTooOld(
            f"the store at {where} is {name} {found}; Taskfleet needs Valkey {MIN_VALKEY[0]}.{MIN_VALKEY[1]} or "
            f"Redis {MIN_REDIS[0]}.{MIN_REDIS[1]} or newer: upgrade the server"
        )


class Connection:
    """The connections to one store. Each call takes one that works or opens one: a lost server costs the calls
    made meanwhile, and nothing needs to be done when it is back."""

    def __init__(self, url: str, timeout: float) -> None:
        self._address = parse(url)
        self.where = self._address.where
        self.timeout = timeout
        self._servers: Servers | None = None

    async def open(self) -> None:
        """Find the servers, and check that they can be used: version and schema, which is set when the store is new."""
        server, info = await self._find()
        self._servers = server
        check_version(info, self.where)
        if _mode(info) == "cluster":
            await server.close()
            self._servers = Cluster(self._address, self.timeout)
        elif len(self._address.hosts) > 1 and not self._address.primary:
            raise InputError(
                f"store URL: it names several hosts, and the server at {self.where} is not in cluster mode; give one "
                "host, or with Sentinel write valkey+sentinel://HOST:26379,.../PRIMARY"
            )
        stored = await self.call("GET", keys.SCHEMA)
        if stored is None:
            await self.call("SET", keys.SCHEMA, keys.SCHEMA_VERSION, "NX")
            stored = await self.call("GET", keys.SCHEMA)
        if stored is None or stored.decode() != str(keys.SCHEMA_VERSION):
            found = stored.decode(errors="replace") if stored else "nothing"
            raise StoreSchemaMismatch(
                f"the store at {self.where} holds data of schema version {found}, this Taskfleet uses version "
                f"{keys.SCHEMA_VERSION}; use the Taskfleet that wrote it, or an empty store"
            )
        lua.make_ready()

    async def _find(self) -> tuple[OneServer, Mapping[str, Any]]:
        """The first server that answers, and what it says of itself. Raises what the last one of them has."""
        address = self._address
        if address.primary:
            return await self._ask(behind_sentinels(address, self.timeout))
        *others, last = address.hosts or (None,)
        for host in others:
            try:
                return await self._ask(one_server(address, host, self.timeout))
            except StoreUnreachable:
                continue
        return await self._ask(one_server(address, last, self.timeout))

    async def _ask(self, server: OneServer) -> tuple[OneServer, Mapping[str, Any]]:
        try:
            with self.explained():
                info = await server.info()
            _check_mode(info, self.where)
        except BaseException:
            await server.close()
            raise
        return server, info

    async def close(self) -> None:
        if self._servers is not None:
            await self._servers.close()

    @property
    def servers(self) -> Servers:
        assert self._servers is not None, "open() comes first"
        return self._servers

    async def call(self, *command: Argument) -> Any:
        """The reply of one command. StoreUnreachable when it does not come within the timeout."""
        with self.explained():
            return await self.servers.execute(*command)

    async def run(self, script: lua.Script, queue: QueueKey, *arguments: Argument) -> Any:
        """The reply of a script, which a server that does not know it learns on the way."""
        name, execute = keys.prefix(queue), self.servers.execute
        with self.explained():
            try:
                return await execute("EVALSHA", script.sha, 1, name, *arguments)
            except trouble.NoScriptError:
                return await execute("EVAL", script.text, 1, name, *arguments)

    async def scan(self, queue: QueueKey, cursor: int, count: int, family: str = "") -> tuple[int, Sequence[bytes]]:
        """One step through all keys of a queue, or those of a family: the next cursor (0: done), and some keys."""
        with self.explained():
            return await self.servers.scan(keys.prefix(queue), cursor, keys.pattern(queue, family), count)

    def subscriber(self, hear: Hear, lost: Lost) -> AbstractAsyncContextManager[Subscription]:
        """A connection that hears what is published, wherever."""
        return self.servers.subscriber(hear, lost)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Everything that the library raises inside leaves as a StoreError."""
        try:
            yield
        except (trouble.ValkeyError, trouble.ValkeyClusterException, OSError) as error:  # TimeoutError is an OSError
            raise explain(error, self.where, tls=self._address.tls) from error
        except RuntimeError as error:
            if _UVLOOP_CLOSED not in str(error):
                raise
            raise explain(_reset(), self.where) from error


def _reset() -> OSError:
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def _check_mode(info: Mapping[str, Any], where: str) -> None:
    if _mode(info) == "sentinel":
        raise StoreError(
            f"the server at {where} is a Sentinel; write valkey+sentinel://HOST:26379/PRIMARY, with the name that it "
            "has for the primary"
        )


def _mode(info: Mapping[str, Any]) -> str:
    return str(info.get("server_mode") or info.get("redis_mode", "standalone"))
