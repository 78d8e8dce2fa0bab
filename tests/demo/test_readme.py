"""Every command of the README does what it says there.

Commands that need no cluster are run, in order, in a folder with the repository's manifests and data. ``kubectl``
commands are read by kubectl itself, as far as it goes without a cluster.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.support.chart import CHART, render
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent
COMMAND_SECONDS = 120.0
# Long runs and image builds have tests of their own; here it counts that the targets are there.
MAKE = ("make",)
CLUSTER = ("kubectl", "docker", "helm")


def commands(readme: str = README) -> list[str]:
    """The lines of all shell blocks, without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"\s+#.*", "", line).strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def first_word(command: str) -> str:
    return command.split()[0]


def test_the_first_screen_has_the_picture_and_the_two_commands() -> None:
    screen = README.splitlines()[:20]
    assert [command for command in commands() if first_word(command) == "make"][:2] == ["make demo", "make test"]
    assert any("docs/images/demo.png" in line for line in screen)
    assert any(line.startswith("make test") for line in screen)


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


@pytest.mark.parametrize("command", [command for command in commands() if first_word(command) in MAKE])
def test_make_knows_the_target(command: str) -> None:
    planned = subprocess.run(
        [*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert planned.returncode == 0, planned.stderr
    assert ".venv/bin/python" in planned.stdout


@pytest.mark.parametrize("command", [command for command in commands() if first_word(command) in CLUSTER])
def test_cluster_commands_name_files_that_are_there_and_kubectl_reads_them(command: str, tmp_path: Path) -> None:
    words = shlex.split(command.partition("<")[0])
    if words[:2] == ["docker", "build"]:
        name = words[words.index("-t") + 1]
        assert f"image: {name}" in (ROOT / "manifests/install.yaml").read_text()
        assert (ROOT / "Dockerfile").exists()
    elif words[:3] == ["helm", "install", "taskfleet"]:
        assert render(namespace=words[words.index("--namespace") + 1])
        assert ROOT / words[3] == CHART
    elif words[:2] == ["kubectl", "apply"]:
        path = ROOT / words[words.index("-f") + 1]
        files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        kinds = [each["kind"] for file in files for each in yaml.safe_load_all(file.read_text()) if each]
        assert {"TaskQueue", "WorkerPool"} <= set(kinds) or "Deployment" in kinds
    else:
        assert kubectl_reads(words, tmp_path), command


def kubectl_reads(words: list[str], folder: Path) -> bool:
    """Whether kubectl takes the command and its options, and fails only for want of a cluster."""
    kubectl = shutil.which("kubectl", path=f"{BIN}:{os.environ.get('PATH', '')}")
    assert kubectl, "kubectl belongs to the tests' environment"
    nowhere = folder / "kubeconfig"
    cluster = {"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "none", "context": {"cluster": "none", "user": ""}}
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "none"}
    nowhere.write_text(yaml.safe_dump({**config, "clusters": [cluster], "contexts": [context]}))
    command = [kubectl, "--kubeconfig", str(nowhere), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "refused" in done.stderr


class Terminals:
    """Runs the README's laptop commands. Only the port differs, since the usual one may be somebody else's."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self._port = port
        self._environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "200"}
        self._open = ExitStack()

    def close(self) -> None:
        self._open.close()

    def start(self, command: str) -> Path:
        """Start what stays; its output grows in a file."""
        log = self.folder / f"{command.split()[0]}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                shlex.split(command.replace("demo.model_server", f"demo.model_server --port {self._port}")),
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        assert process.stdin is not None
        self._open.callback(process.wait, 60)
        self._open.callback(process.terminate)
        self._open.callback(process.stdin.close)
        return log

    def run(self, command: str) -> str:
        """Run what ends, as a shell does; it must end well."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    (tmp_path / "demo").symlink_to(ROOT / "demo")
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        port = any_port.getsockname()[1]
    shutil.copytree(ROOT / "manifests/quickstart", tmp_path / "manifests/quickstart")
    pool = tmp_path / "manifests/quickstart/workerpool.yaml"
    assert "http://llm:8080/v1" in pool.read_text()
    pool.write_text(pool.read_text().replace("http://llm:8080/v1", f"http://llm:{port}/v1"))
    opened = Terminals(tmp_path, port)
    yield opened
    opened.close()


def test_the_laptop_commands_work_in_their_order(terminals: Terminals) -> None:
    laptop = [command for command in commands() if first_word(command) not in (*MAKE, *CLUSTER)]
    assert laptop.count(". .venv/bin/activate") == 2
    said: dict[str, str] = {}
    for command in laptop:
        if command.startswith("."):
            continue  # the tests' own environment is on the path
        if command.startswith("python -m demo.model_server"):
            log = terminals.start(command)
            wait_until(lambda log=log: "serving" in log.read_text(), "the model server", timeout=60)
        elif command.startswith("taskfleet up"):
            log = terminals.start(command)
            wait_until((terminals.folder / ".taskfleet/up.json").exists, "the fleet", timeout=60)
            assert "no host here is called llm" in log.read_text()
        else:
            said[command] = terminals.run(command)
    results = [json.loads(line) for line in (terminals.folder / "results.jsonl").read_text().splitlines()]
    assert len(results) == 20
    assert all(line["status"] == "completed" for line in results)
    assert any("completed\t21" in text for text in said.values()), "stats counts what was submitted"


def test_the_task_line_of_the_readme_is_one(terminals: Terminals) -> None:
    from taskfleet.api.manifests import load
    from taskfleet.api.tasklines import read_task_lines

    (block,) = re.findall(r"^```json\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (queue,) = load([terminals.folder / "manifests/quickstart"]).queues
    (task,) = read_task_lines([block.strip().encode()], spec=queue.spec)
    assert (task.id, task.model) == ("t-1", "smollm2")
