"""The gateway as people start it: `taskfleet gateway`, `taskfleet keys`, and beside a `taskfleet up`."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from openai import OpenAI

from taskfleet.core.task import QueueKey
from tests.support.commands import Taskfleet
from tests.support.laptop import PROGRAM, Laptop
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually, wait_until
from tests.support.work import Work

HELLO: list[Any] = [{"role": "user", "content": "Hi"}]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def gateway_process(folder: Path, store_url: str, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`taskfleet gateway` on any free port, and its log."""
    log = folder / "gateway.log"
    command = [PROGRAM, "gateway", "--store-url", store_url, "--port", "0", "--files", str(folder / "files"), *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKFLEET_")}
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stderr=stream, env=environment | {"TASKFLEET_LOG_FORMAT": "json"})
    try:
        yield process, log
    finally:
        process.kill()
        process.wait(10)


def url_in(log: Path) -> str:
    """Where it serves, once it says so."""
    found = [json.loads(line).get("url") for line in log.read_text().splitlines() if "gateway started" in line]
    return found[-1] if found else ""


async def test_the_command_serves_until_it_is_told_to_stop(work: Work, tmp_path: Path, store_url: str) -> None:
    await work.open()
    with gateway_process(tmp_path, store_url, "--queue", str(work.queue)) as (process, log):
        url = await eventually(lambda: url_in(log), "the gateway to start", timeout=20)
        async with httpx.AsyncClient() as http:
            listed = await http.get(f"{url}/v1/models")
            assert [model["id"] for model in listed.json()["data"]] == ["stub"]
        process.send_signal(signal.SIGTERM)
        await eventually(lambda: process.poll() is not None, "it to end")
        assert process.returncode == 0
        assert "gateway stopped" in log.read_text()


def test_without_keys_it_serves_nobody_else(store_url: str) -> None:
    said = run("gateway", "--store-url", store_url, "--host", "0.0.0.0", "--port", "0")
    assert said.returncode == 2
    assert "without API keys the gateway serves this machine only" in said.stderr


def test_a_port_that_is_taken_is_named(store_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = run("gateway", "--store-url", store_url, "--port", port)
    assert said.returncode == 2
    assert f"--port: {port} cannot be used: Address already in use" in said.stderr


def test_keys_are_created_listed_and_revoked(tmp_path: Path, taskfleet: Taskfleet) -> None:
    file = ["--file", str(tmp_path / "keys.yaml")]
    made = taskfleet("keys", "create", "ci", "--right", "read", "--tenant", "team-a", "--queue", "default/demo", *file)
    assert made.code == 0, made.err
    secret = made.out.strip()
    assert secret.startswith("tf-")
    text = (tmp_path / "keys.yaml").read_text()
    assert secret not in text
    assert (tmp_path / "keys.yaml").stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(text)["keys"][0]["tenant"] == "team-a"
    assert "already" in taskfleet("keys", "create", "ci", *file).err
    other = json.loads(taskfleet("keys", "create", "app", "-o", "json", *file).out)
    assert other["key"] != secret
    listed = taskfleet("keys", "list", *file).out.splitlines()
    assert listed == ["ci\tteam-a\tread\tdefault/demo\tcritical", "app\tdefault\tsubmit,read\tall queues\tcritical"]
    assert taskfleet("keys", "revoke", "ci", *file).code == 0
    assert len(taskfleet("keys", "list", *file).out.splitlines()) == 1
    assert taskfleet("keys", "revoke", "ci", *file).code == 4


@pytest.mark.parametrize(
    "options", [("--tenant", "no tenant"), ("--queue", "demo"), ("--right", "sing"), ("--max-priority", "top")]
)
def test_a_key_that_is_none_is_refused_and_nothing_is_written(
    tmp_path: Path, taskfleet: Taskfleet, options: tuple[str, str]
) -> None:
    said = taskfleet("keys", "create", "ci", *options, "--file", str(tmp_path / "keys.yaml"))
    assert said.code == 2, said.out
    assert options[1] in said.err or options[0].removeprefix("--") in said.err
    assert list(tmp_path.iterdir()) == []


def test_up_starts_it_for_this_machine(tmp_path: Path, stub_model: ModelStub) -> None:
    laptop = Laptop(tmp_path)
    laptop.write(stub_model.url)
    laptop.start("--gateway-port", "0")
    try:
        url = laptop.up_file["gateway_url"]
        assert url.startswith("http://127.0.0.1:")
        assert f"OpenAI's API at {url}/v1" in laptop.output
        with OpenAI(base_url=f"{url}/v1", api_key="none", timeout=40) as client:
            answer = client.chat.completions.create(model="fast", messages=HELLO)
            assert answer.choices[0].message.content == "echo: Hi"
            assert [model.id for model in client.models.list()] == ["small", "fast"]
        (served,) = httpx.get(f"{url}/v1/queues").json()["data"]
        assert served["id"] == str(QueueKey("default", "demo"))
    finally:
        assert laptop.stop() == 130
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz")


def test_up_says_when_nothing_serves_a_model(tmp_path: Path, stub_model: ModelStub) -> None:
    laptop = Laptop(tmp_path)
    laptop.write(stub_model.url)
    manifest = laptop.manifests / "queue.yaml"
    manifest.write_text(manifest.read_text().replace("models: [", "models: [{name: big}, "))
    laptop.start("--gateway-port", "0")
    try:
        url = laptop.up_file["gateway_url"]

        def refused() -> bool:
            asked = {"model": "big", "messages": HELLO}
            answer = httpx.post(f"{url}/v1/chat/completions", json=asked, headers={"Prefer": "wait=0"})
            return answer.status_code == 503 and "no endpoint of a WorkerPool serves it" in answer.text

        wait_until(refused, "the gateway to know that nothing serves it", timeout=20)
    finally:
        laptop.stop()


def test_a_port_of_up_that_is_taken_is_named(tmp_path: Path, stub_model: ModelStub) -> None:
    laptop = Laptop(tmp_path)
    laptop.write(stub_model.url)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert laptop.launch("--gateway-port", port).wait(timeout=40) == 2
    assert f"--gateway-port: {port} cannot be used: " in laptop.output


def test_the_bare_client_needs_none_of_it() -> None:
    code = "import sys, taskfleet.cli.main, taskfleet.cli.submit; print('starlette' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
