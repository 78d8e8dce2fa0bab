"""A short `make chaos`: every kind of trouble once, all promises kept, told to people and to programs."""

import json
import subprocess
import sys
from pathlib import Path

from chaos.checks import CHECKS
from chaos.history import Kind

ROOT = Path(__file__).resolve().parents[2]
NOT_ON_PURPOSE = {Kind.STALL, Kind.STARVED}
SHORT = ["--tasks", "300", "--seed", "5", "--lease", "2", "--pause", "0.2"]


def test_a_short_run_meets_every_kind_of_trouble_and_keeps_every_promise(tmp_path: Path) -> None:
    out = tmp_path / "chaos.json"
    command = [sys.executable, "-m", "chaos", *SHORT, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "seed 5" in done.stdout
    written = json.loads(out.read_text())
    assert written["promises"] == {promise: [] for promise in CHECKS}
    assert written["figures"]["tasks accepted"] >= 300
    troubles = written["figures"]["troubles"]
    assert all(troubles[kind] for kind in Kind if kind not in NOT_ON_PURPOSE)
