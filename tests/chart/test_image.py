"""What the Dockerfile promises, as far as its text tells; that it builds and runs is seen on a cluster."""

import json
import re
import subprocess
from pathlib import Path

from tests.support.chart import CHART

ROOT = CHART.parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
VERSION = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def instructions(name: str) -> list[str]:
    """What follows the word, in order; continued lines as one."""
    return re.findall(rf"^{name} (.*)", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)


def test_every_stage_begins_with_the_base_that_has_a_digest_or_with_another_stage() -> None:
    base = next(each for each in instructions("ARG") if each.startswith("BASE="))
    assert re.fullmatch(r"BASE=docker\.io/library/python:[\w.-]+@sha256:[0-9a-f]{64}", base)
    stages = [each.split() for each in instructions("FROM")]
    named = {words[2] for words in stages if len(words) == 3}
    assert {words[0] for words in stages} <= named | {"${BASE}", "scratch"}


def test_it_runs_as_a_user_with_a_number_and_without_a_shell() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instructions("USER")[-1])
    assert json.loads(instructions("ENTRYPOINT")[-1]) == ["dumb-init", "--single-child", "--", "taskfleet"]


def test_its_labels_name_this_version() -> None:
    assert VERSION is not None
    assert f"VERSION={VERSION[1]}" in instructions("ARG")
    (labels,) = instructions("LABEL")
    names = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", labels))
    assert names == {"title", "description", "licenses", "version", "revision"}


def test_the_makefile_builds_the_image_that_the_chart_names() -> None:
    assert VERSION is not None
    assert f"\nIMAGE ?= taskfleet:{VERSION[1]}\n" in (ROOT / "Makefile").read_text()


def test_the_makefile_asks_docker_for_the_builder_that_makes_only_what_is_wanted(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\necho "$DOCKER_BUILDKIT $*"\n')
    docker.chmod(0o755)
    made = subprocess.run(
        ["make", "--silent", "image", f"CONTAINERS={docker}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    image, inventory = made.stdout.splitlines()
    assert image.startswith(f"1 build --tag taskfleet:{VERSION[1] if VERSION else ''} ")
    assert inventory.startswith("1 build --target sbom --output type=local,dest=dist ")
