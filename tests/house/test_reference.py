"""The pages of ``docs/reference/`` are those of the code."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.brokenmanifests import MANIFESTS
from tests.support.mutations import our_objects

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
FREE = {"requests", "limits", "nodeSelector", "labels", "annotations", "matchLabels", "remoteNames", "tenants"}


def generate(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "hack/generate_reference.py", *arguments]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=60, check=False)


def test_a_page_that_is_stale_or_left_over_is_named_and_generate_puts_it_right(tmp_path: Path) -> None:
    shutil.copytree(REFERENCE, tmp_path / "docs/reference")
    metrics, left_over = tmp_path / "docs/reference/metrics.md", tmp_path / "docs/reference/gone.md"
    metrics.write_text(metrics.read_text().replace("gauge", "gouge"))
    left_over.write_text("")
    checked = generate(tmp_path, "--check")
    assert checked.returncode == 1
    assert checked.stderr.splitlines() == [
        "docs/reference/metrics.md is stale: run make generate",
        "docs/reference/gone.md is stale: run make generate",
    ]
    assert generate(tmp_path).returncode == 0
    assert metrics.read_text() == (REFERENCE / "metrics.md").read_text()
    assert not left_over.exists()


@pytest.mark.parametrize("file", ["queue-full.yaml", "pool-full.yaml"])
def test_a_page_has_every_field_of_a_manifest_that_uses_all_once(file: str) -> None:
    (manifest,) = our_objects(MANIFESTS / "good" / file)
    page = (REFERENCE / f"{manifest['kind'].lower()}.md").read_text()
    rows = re.findall(
        r"^\| `([^`]+)`(?: \(required\))? \| [^|]+ \| .+ \|$", page.partition("## Status")[0], re.MULTILINE
    )
    assert len(rows) == len(set(rows))
    assert set(paths(manifest["spec"], "")) - set(rows) == set()


def paths(value: Any, above: str) -> Iterator[str]:
    """The fields of a spec; what users name themselves (labels, resources, tenants) counts as one."""
    if isinstance(value, list):
        for item in value:
            yield from paths(item, f"{above}[]")
    elif isinstance(value, dict) and above.rpartition(".")[2] not in FREE:
        for name, inner in value.items():
            path = f"{above}.{name}".removeprefix(".")
            yield path
            yield from paths(inner, path)
