"""The embedded store: starts, comes back when killed, keeps its data, and is nobody else's."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import valkey

from taskfleet.core.errors import StoreAuthFailed, StoreError, StoreSchemaMismatch
from taskfleet.embedded.datadir import DataDir, locked
from taskfleet.embedded.server import EmbeddedStore
from taskfleet.store import Store
from tests.support.waiting import eventually


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDir]:
    with locked(tmp_path / 'a "quoted" folder \\ näme') as own:
        yield own


def client(url: str) -> valkey.Valkey:
    return valkey.Valkey.from_url(url)


def open_files(pid: int) -> list[Path]:
    return [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir()]


async def test_data_survives_a_kill_and_a_clean_stop_in_any_folder(data: DataDir) -> None:
    told: list[str] = []
    server = EmbeddedStore(data, tell=told.append)
    assert server.trouble == "the store is starting"
    await server.start()
    assert server.trouble == ""
    url = server.url
    keeping = asyncio.create_task(server.keep_alive())
    with client(url) as first:
        first.set("kept", "yes")
        pid = first.info("server")["process_id"]
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: "the store ended (signal SIGKILL)" in server.trouble, "the end to be noticed")
    await eventually(lambda: "the store serves again" in told, "the store to be started again")
    assert server.trouble == ""
    assert server.url == url
    with client(url) as second:
        assert second.get("kept") == b"yes"
    keeping.cancel()
    await server.stop()
    again = EmbeddedStore(data, tell=told.append)
    await again.start()
    with client(again.url) as third:
        assert third.get("kept") == b"yes"
    await again.stop()


async def test_it_listens_on_loopback_only_and_wants_its_password(data: DataDir) -> None:
    server = EmbeddedStore(data, tell=lambda _text: None)
    await server.start()
    try:
        with client(server.url) as own:
            assert own.config_get("bind") == {"bind": "127.0.0.1"}
            assert own.config_get("appendfsync") == {"appendfsync": "everysec"}
        port = server.url.rpartition(":")[2].partition("/")[0]
        with pytest.raises(StoreAuthFailed):
            await Store.connect(f"valkey://127.0.0.1:{port}")
    finally:
        await server.stop()


async def test_two_stores_have_different_ports_and_passwords(tmp_path: Path) -> None:
    with locked(tmp_path / "a") as first, locked(tmp_path / "b") as second:
        servers = [EmbeddedStore(data, tell=lambda _text: None) for data in (first, second)]
        try:
            for server in servers:
                await server.start()
            assert len({server.url for server in servers}) == 2
            assert len({server.url.partition("@")[0] for server in servers}) == 2
        finally:
            for server in servers:
                await server.stop()


async def test_the_lock_is_held_while_the_server_lives(data: DataDir) -> None:
    server = EmbeddedStore(data, tell=lambda _text: None)
    await server.start()
    try:
        with client(server.url) as own:
            pid = own.info("server")["process_id"]
        assert (data.path / "lock").resolve() in open_files(pid)
    finally:
        await server.stop()


async def test_data_of_another_schema_is_refused_and_left_as_it_is(data: DataDir) -> None:
    server = EmbeddedStore(data, tell=lambda _text: None)
    await server.start()
    with client(server.url) as own:
        own.set("tf:schema", "999")
    await server.stop()
    with pytest.raises(StoreSchemaMismatch, match="999"):
        await server.start()
    await server.stop()


async def test_a_damaged_data_file_is_refused_in_the_servers_own_words(data: DataDir) -> None:
    server = EmbeddedStore(data, tell=lambda _text: None)
    await server.start()
    with client(server.url) as own:
        for number in range(100):
            own.set(f"key-{number}", "x" * 100)
    await server.stop()
    damage(data.store / "appendonlydir")
    with pytest.raises(StoreError, match=r"the store does not start: .*Bad file format.*\(its log is"):
        await server.start()


def damage(folder: Path) -> None:
    (log,) = folder.glob("*.incr.aof")
    content = bytearray(log.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = b"\0" * 200
    log.write_bytes(content)
