"""``taskfleet validate``: for people and for scripts."""

import json
from pathlib import Path

import pytest

from taskfleet.cli.main import run
from tests.support.brokenmanifests import MANIFESTS

GOOD = str(MANIFESTS / "good")
MANY = MANIFESTS / "broken" / "many-documents.yaml"


def test_valid_manifests_are_counted_and_the_rest_is_remarked_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "-f", GOOD]) == 0
    printed = capsys.readouterr()
    assert printed.out == "valid: 4 TaskQueues, 10 WorkerPools, 2 ParallelQueues\n"
    assert "skipped ConfigMap (v1): not of Taskfleet" in printed.err


def test_each_problem_is_a_line_that_an_editor_can_jump_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "-f", str(MANY)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f'{MANY}:21: The WorkerPool "first" is invalid: spec.endpoints[0].concurrency: ')
    assert second.startswith(f'{MANY}:44: The TaskQueue "other" is invalid: spec.retry.jitter: ')


def test_scripts_get_an_object_either_way(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["validate", "-f", str(MANY), "-o", "json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["valid"] is False
    assert len(answer["problems"]) == 2
    assert run(["validate", "-f", str(MANIFESTS / "good" / "pool-minimal.yaml"), "-o", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["objects"] == [{"kind": "WorkerPool", "namespace": "default", "name": "minimal"}]
    assert len(answer["warnings"]) == 1
