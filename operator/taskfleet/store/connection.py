"""One server: opening, checking, calling it, and turning every trouble of the library into one of our errors."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import valkey.asyncio as valkey
from valkey import exceptions as trouble

from taskfleet.core.errors import (
    InputError,
    StoreAuthFailed,
    StoreError,
    StoreOutOfMemory,
    StoreSchemaMismatch,
    StoreTooOld,
    StoreUnreachable,
)
from taskfleet.core.task import QueueKey
from taskfleet.store import keys
from taskfleet.store.lua import Script

MIN_VALKEY = (7, 2)
MIN_REDIS = (6, 2)
_MAX_CONNECTIONS = 64
_SCHEMES = ("valkey", "valkeys", "redis", "rediss", "unix")

# What a server says when it is there and cannot serve: the first word of its answer, and what to do about it.
_BUSY_ANSWERS = {
    "LOADING": "is still loading its data; try again in a moment",
    "BUSY": "is busy with a long script; try again in a moment",
    "READONLY": "is a replica and takes no writes; give the URL of the primary",
    "MASTERDOWN": "is a replica that has lost its primary; give the URL of the primary",
    "CLUSTERDOWN": "belongs to a cluster that is down; look at its nodes",
    "MISCONF": "cannot write to its disk and so takes no writes; look at its log",
    "NOREPLICAS": "has too few replicas to take writes; look at its replication",
    "TRYAGAIN": "is moving this queue to another node; try again in a moment",
}

# The library takes the first word off the answers that it has a class for.
_CLASSES: dict[str, type[Exception]] = {
    "LOADING": trouble.BusyLoadingError,
    "READONLY": trouble.ReadOnlyError,
    "MASTERDOWN": trouble.MasterDownError,
    "CLUSTERDOWN": trouble.ClusterDownError,
    "TRYAGAIN": trouble.TryAgainError,
}


def address(url: str) -> str:
    """Where a URL points to, as ``host:port`` or a socket's path, without user and password.

    Errors: InputError when it is no store URL. The URL itself is never shown: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InputError("store URL: it cannot be read; write valkey://HOST:PORT") from None
    if parts.scheme not in _SCHEMES:
        raise InputError(f"store URL: the scheme must be one of {', '.join(_SCHEMES)}; write valkey://HOST:PORT")
    if parts.scheme == "unix":
        return parts.path
    if parts.path not in ("", "/") and not parts.path[1:].isdecimal():
        raise InputError(
            "store URL: what follows the port must be the number of a database; write valkey://HOST:PORT/0"
        )
    return f"{parts.hostname or 'localhost'}:{port or 6379}"


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


def _system_words(error: Exception) -> str:
    """``Connection refused``; what the library makes of it repeats the address twice."""
    cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
    if not isinstance(cause, OSError) or cause.errno is None:
        return str(error)
    return os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)  # names that do not resolve are below 0


def explain(error: Exception, where: str, *, tls: bool = False) -> StoreError:
    """Our error for one of the library's, in a sentence that names the server and the fix."""
    text = str(error)
    first_word = text.split(" ", 1)[0]
    if isinstance(error, trouble.OutOfMemoryError) or "OOM command not allowed" in text:
        return StoreOutOfMemory(
            f"the store at {where} is full (maxmemory) and takes no new tasks; raise maxmemory or let it drain"
        )
    if isinstance(error, trouble.AuthenticationError) and "required" in text:
        return StoreAuthFailed(f"the store at {where} needs a password; write valkey://:PASSWORD@HOST:PORT")
    if isinstance(error, trouble.AuthenticationError | trouble.AuthenticationWrongNumberOfArgsError):
        return StoreAuthFailed(f"the store at {where} refused the user or password; check those in its URL")
    if isinstance(error, trouble.NoPermissionError | trouble.AuthorizationError):
        return StoreAuthFailed(f"the store at {where} does not permit its user what Taskfleet does: {text}")
    for answer, words in _BUSY_ANSWERS.items():
        if first_word == answer or isinstance(error, _CLASSES.get(answer, ())):
            return StoreUnreachable(f"the store at {where} {words}")
    if isinstance(error, trouble.TimeoutError | TimeoutError):
        not_tls = ", or does it not speak TLS" if tls else ""
        return StoreUnreachable(
            f"the store at {where} did not answer in time; is it overloaded, or the network cut{not_tls}?"
        )
    if isinstance(error, trouble.InvalidResponse):
        return StoreError(f"the store at {where} is no Valkey or Redis server; check host and port in its URL")
    if isinstance(error, trouble.ConnectionError | OSError):
        return StoreUnreachable(f"the store at {where} cannot be reached ({_system_words(error)}); is it running?")
    return StoreError(f"the store at {where} answered with an error: {text}")


class Connection:
    """A pool of connections to one server. Each call takes one that works or opens one: a lost server costs the calls
    made meanwhile, and nothing needs to be done when it is back."""

    def __init__(self, url: str, timeout: float) -> None:
        self.where = address(url)
        self.timeout = timeout
        self._tls = url.startswith(("valkeys:", "rediss:"))
        only_tcp: dict[str, Any] = {} if url.startswith("unix:") else {"socket_keepalive": True}
        try:
            pool = valkey.BlockingConnectionPool.from_url(
                url,
                max_connections=_MAX_CONNECTIONS,
                timeout=timeout,
                # The library's default is a timeout through asyncio.wait_for, which on Python 3.11 swallows a
                # cancellation that comes as a write ends; ``bounded`` does its work.
                socket_timeout=None,
                socket_connect_timeout=timeout,
                **only_tcp,
            )
            pool.connection_class(**pool.connection_kwargs)  # else an unknown option would show at the first call
        except (TypeError, ValueError):
            options = ", ".join(parse_qs(urlsplit(url).query, keep_blank_values=True))
            raise InputError(f"store URL: the options after ? cannot be used ({options}); remove them") from None
        self.client = valkey.Valkey(connection_pool=pool)
        self._execute: Callable[..., Awaitable[Any]] = self.client.execute_command

    async def open(self) -> None:
        """Check that the server can be used: version and schema, which is set when the store is new."""
        async with self.bounded():
            check_version(await self.client.info("server"), self.where)
            stored = await self.client.get(keys.SCHEMA)
            if stored is None:
                await self.client.set(keys.SCHEMA, keys.SCHEMA_VERSION, nx=True)
                stored = await self.client.get(keys.SCHEMA)
        if stored is None or stored.decode() != str(keys.SCHEMA_VERSION):
            found = stored.decode(errors="replace") if stored else "nothing"
            raise StoreSchemaMismatch(
                f"the store at {self.where} holds data of schema version {found}, this Taskfleet uses version "
                f"{keys.SCHEMA_VERSION}; use the Taskfleet that wrote it, or an empty store"
            )

    async def close(self) -> None:
        await self.client.aclose()
        await self.client.connection_pool.disconnect()

    async def call(self, *command: bytes | str | int) -> Any:
        """The reply of one command."""
        async with self.bounded():
            return await self._execute(*command)

    async def run(self, script: Script, queue: QueueKey, *arguments: bytes | str | int) -> Any:
        """The reply of a script, which the server is taught when it does not know it."""
        name = keys.prefix(queue)
        async with self.bounded():
            try:
                return await self._execute("EVALSHA", script.sha, 1, name, *arguments)
            except trouble.NoScriptError:
                await self._execute("SCRIPT LOAD", script.text)
                return await self._execute("EVALSHA", script.sha, 1, name, *arguments)

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """For one call: StoreUnreachable when it takes longer than the timeout. (The library's own timeout of a socket
        starts a task for every write.)"""
        with self.explained():
            async with asyncio.timeout(self.timeout):
                yield

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Everything that the library raises inside leaves as a StoreError."""
        try:
            yield
        except (trouble.ValkeyError, OSError) as error:  # TimeoutError is an OSError
            raise explain(error, self.where, tls=self._tls) from error
