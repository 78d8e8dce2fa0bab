"""Every command of docs/guides/tenants.md does what it says there, in order, on an `up` of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.demo.test_readme import commands
from tests.support.laptop import Laptop

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def test_the_commands_work_in_their_order(tmp_path: Path) -> None:
    up, *others = commands((ROOT / "docs/guides/tenants.md").read_text())
    assert up == "taskfleet up -f manifests/samples/tenants.yaml"
    (tmp_path / "manifests").mkdir()
    shutil.copy(ROOT / "manifests/samples/tenants.yaml", tmp_path / "manifests")
    laptop = Laptop(tmp_path)
    laptop.start()
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "TASKFLEET_DATA": str(laptop.data)}
    try:
        said = {}
        for command in others:
            words = ["bash", "-c", command]
            done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
            said[command] = done.stdout
    finally:
        laptop.stop()
    assert "support" in said["taskfleet stats shared --tenants"]
    assert "3 waiting" in said["taskfleet explain queue shared"]
