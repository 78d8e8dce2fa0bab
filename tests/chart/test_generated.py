"""What ``make generate`` writes from the chart's sources, and ``make verify`` compares."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the generator reads and writes."""
    for name in ("charts", "crds", "manifests", "hack"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def generate(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "hack/generate_chart.py", *arguments]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=60, check=False)


def test_what_is_in_the_repository_is_current(tree: Path) -> None:
    checked = generate(tree, "--check")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_check_names_what_is_stale_and_writes_nothing_and_generate_puts_it_right(tree: Path) -> None:
    crd = tree / "crds" / "taskqueues.yaml"
    crd.write_text(crd.read_text().replace("shortNames:\n    - tq\n", "shortNames:\n    - tqs\n"))
    left_over = tree / "charts/taskfleet/templates/crds/gone.yaml"
    left_over.write_text("")
    checked = generate(tree, "--check")
    assert checked.returncode == 1
    assert "templates/crds/taskqueues.yaml is stale: run make generate" in checked.stderr
    assert "templates/crds/gone.yaml is stale" in checked.stderr
    assert generate(tree).returncode == 0
    assert not left_over.exists()
    assert "- tqs" in (tree / "manifests/install.yaml").read_text()
    assert generate(tree, "--check").returncode == 0


def test_install_yaml_is_the_chart_for_people_without_helm() -> None:
    text = (ROOT / "manifests" / "install.yaml").read_text()
    documents = list(yaml.safe_load_all(text))
    kinds = [each["kind"] for each in documents]
    assert kinds[:4] == ["Namespace", *["CustomResourceDefinition"] * 3]
    assert kinds[-2:] == ["StatefulSet", "Deployment"]
    assert documents[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert not {"Secret", "Pod", "TaskQueue"} & set(kinds), "no password in a public file, and nothing of helm test"
    assert "helm" not in text.lower()
