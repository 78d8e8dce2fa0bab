"""What the workflows run are targets of the Makefile, and what they use is pinned. `make check` lints them."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / ".github/workflows").iterdir())}
STEPS = [
    (f"{name}.{job}", step)
    for name, workflow in WORKFLOWS.items()
    for job, described in workflow["jobs"].items()
    for step in described["steps"]
]
RUNS = sorted({step["run"] for _, step in STEPS if "run" in step})


@pytest.mark.parametrize("command", RUNS)
def test_a_step_is_a_make_target_that_is_there(command: str) -> None:
    words = shlex.split(command.replace('"$GITHUB_REF_NAME"', "v0"))
    assert words[0] == "make"
    planned = subprocess.run(
        [*words, "--dry-run", "REGISTRY=registry.example"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout


def test_every_action_is_pinned_by_its_commit() -> None:
    used = {step["uses"] for _, step in STEPS if "uses" in step}
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", each)] == []
    owners = [each.partition("@")[0] for each in used]
    assert len(set(owners)) == len(owners), "one version of each"


def test_the_nodes_are_three_versions_of_kubernetes_by_their_digests() -> None:
    nodes = WORKFLOWS["e2e"]["jobs"]["kind"]["strategy"]["matrix"]["node"]
    found = [re.fullmatch(r"kindest/node:v1\.(\d+)\.\d+@sha256:[0-9a-f]{64}", node) for node in nodes]
    minors = [int(match[1]) for match in found if match]
    assert minors == [minors[0], minors[0] - 1, minors[0] - 2]


def test_every_python_that_is_tried_is_supported_and_the_oldest_supported_is_tried() -> None:
    tried = WORKFLOWS["check"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert oldest is not None
    assert tried[0] == oldest[1]


def test_no_job_may_write_more_than_what_it_publishes() -> None:
    rights: dict[str, Any] = {
        f"{name}.{job}": described.get("permissions", workflow["permissions"])
        for name, workflow in WORKFLOWS.items()
        for job, described in workflow["jobs"].items()
    }
    may_write = {job: sorted(each for each in given if given[each] == "write") for job, given in rights.items()}
    assert {job: rights for job, rights in may_write.items() if rights} == {
        "release.image-and-chart": ["id-token", "packages"],
        "release.wheel": ["id-token"],
    }


def test_nothing_is_published_before_it_was_tested() -> None:
    jobs = WORKFLOWS["release"]["jobs"]
    assert {job: described.get("needs") for job, described in jobs.items()} == {
        "test": None,
        "image-and-chart": "test",
        "wheel": "test",
    }
