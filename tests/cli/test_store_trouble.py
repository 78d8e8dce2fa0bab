"""A store that cannot be used: one sentence and one exit code for each trouble, the password in none."""

import asyncio
import json
from pathlib import Path

import pytest

from taskfleet.store import Store
from tests.support.commands import Taskfleet
from tests.support.valkeyserver import free_port, running_valkey

COMMANDS = (
    ("submit", "demo", "hello"),
    ("status", "t-1", "-q", "demo"),
    ("result", "t-1", "-q", "demo"),
    ("cancel", "t-1", "-q", "demo"),
    ("stats", "demo"),
)


def refuses(taskfleet: Taskfleet, code: int, name: str) -> str:
    """The sentence with which every command refuses; it is the same for all."""
    sentences = set()
    for command in COMMANDS:
        done = taskfleet(*command)
        assert (done.code, done.out) == (code, ""), done
        assert len(done.err.splitlines()) == 1
        as_json = taskfleet(*command, "-o", "json")
        assert as_json.code == code
        error = json.loads(as_json.err)["error"]
        assert error["code"] == name
        assert f"taskfleet: {error['message']}\n" == done.err
        assert "pass-w0rd" not in done.err + as_json.err
        sentences.add(error["message"])
    (sentence,) = sentences
    return sentence


def test_a_store_that_is_down(taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("TASKFLEET_STORE_URL", f"valkey://:pass-w0rd@127.0.0.1:{port}")
    assert str(port) in refuses(taskfleet, 11, "store_unreachable")


def test_a_wrong_password(taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with running_valkey(tmp_path) as server:
        server.client().config_set("requirepass", "another")
        monkeypatch.setenv("TASKFLEET_STORE_URL", f"valkey://:pass-w0rd@127.0.0.1:{server.port}")
        assert "password" in refuses(taskfleet, 12, "store_auth_failed")


def test_data_of_another_schema(taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with running_valkey(tmp_path) as server:
        url = f"valkey://127.0.0.1:{server.port}"
        asyncio.run(open_and_close(url))
        client = server.client()
        assert client.get("tf:schema") is not None
        client.set("tf:schema", "999")
        client.close()
        monkeypatch.setenv("TASKFLEET_STORE_URL", url)
        assert "999" in refuses(taskfleet, 15, "store_schema_mismatch")


async def open_and_close(url: str) -> None:
    await (await Store.connect(url)).close()


def test_an_authority_that_is_none(taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKFLEET_STORE_URL", "valkeys://:pass-w0rd@host")
    for text in ("/etc/ssl/ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        monkeypatch.setenv("TASKFLEET_STORE_CA", text)
        assert "TASKFLEET_STORE_CA: it holds no certificate in PEM" in refuses(taskfleet, 2, "invalid_input")
        said = taskfleet("gateway", "--port", "0")
        assert (said.code, "TASKFLEET_STORE_CA: it holds no certificate in PEM" in said.err) == (2, True)


def test_a_store_url_that_is_none(taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKFLEET_STORE_URL", "http://:pass-w0rd@host")
    assert refuses(taskfleet, 2, "invalid_input")


def test_no_up_on_the_folder(taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TASKFLEET_STORE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    sentence = refuses(taskfleet, 17, "not_running")
    assert "start it with `taskfleet up -f MANIFESTS`" in sentence
    assert "TASKFLEET_STORE_URL" in sentence


def test_a_data_folder_given_by_hand_wins_over_the_environment(
    taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TASKFLEET_STORE_URL", f"valkey://127.0.0.1:{free_port()}")
    assert taskfleet("stats", "demo", "--data", tmp_path).code == 17
