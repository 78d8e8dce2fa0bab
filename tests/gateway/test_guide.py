"""Every command and the program of docs/guides/gateway.md do what it says there, in order, on an `up` of their own."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.laptop import Laptop
from tests.support.modelstub import ModelStub

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/gateway.md").read_text()
USUAL = "http://127.0.0.1:8420"
BIN = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def laptop(tmp_path: Path, stub_model: ModelStub) -> Iterator[Laptop]:
    """The quickstart's manifests on the stub, as the guide's first command starts them."""
    shutil.copytree(ROOT / "manifests/quickstart", tmp_path / "manifests")
    pool = tmp_path / "manifests/workerpool.yaml"
    pool.write_text(pool.read_text().replace("http://llm:8080/v1", stub_model.url))
    started = Laptop(tmp_path)
    started.start("--gateway-port", "0")
    yield started
    started.stop()


def test_the_commands_and_the_program_work(laptop: Laptop) -> None:
    up, *commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert up == "taskfleet up -f manifests/quickstart/"
    url = laptop.up_file["gateway_url"]
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=laptop.folder, capture_output=True, text=True, timeout=60, check=False, env=environment
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    said = {command: run("bash", "-c", command.replace(USUAL, url)) for command in commands}
    whole, streamed, later, models, *_ = said.values()
    assert json.loads(whole)["choices"][0]["message"]["content"] == "echo: Hi"
    assert streamed.endswith("data: [DONE]\n\n")
    assert json.loads(later)["object"] == "task"
    assert [model["id"] for model in json.loads(models)["data"]] == ["smollm2", "fast"]
    assert said["taskfleet keys list"].startswith("team-a\tteam-a\tsubmit,read\t")
    (program,) = blocks("python")
    assert run(sys.executable, "-c", program.replace(USUAL, url)) == "echo: Name three colours.\n"


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", GUIDE)
    assert links
    ours = [link for link in links if not link.startswith("https://")]
    assert [link for link in ours if not (ROOT / "docs/guides" / link).exists()] == []
