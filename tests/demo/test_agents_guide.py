"""Every command of docs/guides/agents.md does what it says there, in order, on an `up` of its own."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfleet.api.manifests import load
from taskfleet.cli.settings import SETTINGS
from taskfleet.cli.settingsfile import SettingsFile
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/agents.md").read_text()
BIN = Path(sys.executable).parent


def commands() -> list[str]:
    """The lines of all shell blocks, without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the manifest of the guide and its `up`, which the guide starts first."""
    shutil.copytree(ROOT / "manifests/samples", tmp_path / "manifests/samples")
    up = shlex.split(commands()[0])
    assert up[:2] == ["taskfleet", "up"]
    with (tmp_path / "up.log").open("w") as log:
        process = subprocess.Popen(
            [BIN / up[0], *up[1:]], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        wait_until((tmp_path / ".taskfleet/up.json").exists, "the fleet", timeout=60)
        yield tmp_path
    finally:
        process.terminate()
        process.wait(60)


def test_the_commands_work_in_their_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(BIN), prepend=":")
    said: dict[str, str] = {}
    for command in commands()[1:]:
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said[command] = done.stdout
    assert re.findall("^Task: (.*)", said["taskfleet run --queue chores --dry-run"], re.MULTILINE) == [
        "rename",
        "fetch",
    ]
    assert re.findall("^Task: (.*)", said["taskfleet run --queue chores --once"], re.MULTILINE) == ["rename"]
    assert re.findall("^Task: (.*)", said["taskfleet run --queue chores"], re.MULTILINE) == ["fetch"]
    assert "Tool: editor\n" in said["taskfleet run --queue chores --once"]
    assert said["taskfleet result rename"] == '{"summary":"Renamed it in 12 files","data":{"files":12}}\n'
    assert any("waits for attempt 2, not before" in text for text in said.values())


def test_the_manifest_and_the_settings_of_the_guide_are_valid(tmp_path: Path) -> None:
    (queue,) = load([ROOT / "manifests/samples/chores.yaml"]).queues
    assert queue.spec.execution.value == "External"
    (block,) = re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    file = tmp_path / "taskfleet.yaml"
    file.write_text(block)
    assert {name: text for name, (_, text) in SettingsFile(file, frozenset(SETTINGS)).values.items()} == {
        "queue": "chores",
        "lease": "1h",
    }
