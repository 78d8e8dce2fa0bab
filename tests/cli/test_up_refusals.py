"""What `taskfleet up` refuses before it starts anything."""

import re
from pathlib import Path

import pytest

from tests.support.commands import Taskfleet
from tests.support.laptop import POOL_MANIFEST, QUEUE_MANIFEST

QUEUE = QUEUE_MANIFEST.format(lease="2s", partitions=1)
POOL = POOL_MANIFEST.format(url="http://127.0.0.1:1/v1", concurrency=1, workers=1, minimum=0, down="1s")


def test_a_manifest_error_is_said_with_file_and_line(taskfleet: Taskfleet, tmp_path: Path) -> None:
    file, data = tmp_path / "queue.yaml", tmp_path / "data"
    file.write_text(QUEUE.replace("leaseDuration: 2s", "leaseDuration: soon"))
    done = taskfleet("up", "-f", file, "--data", data)
    assert done.code == 2
    assert re.match(rf"{re.escape(str(file))}:\d+: .*leaseDuration", done.err)
    assert not data.exists(), "nothing was started"


@pytest.mark.parametrize("content", ["", "kind: Nonsense\n", POOL])
def test_manifests_without_a_queue_are_refused(taskfleet: Taskfleet, tmp_path: Path, content: str) -> None:
    file = tmp_path / "none.yaml"
    file.write_text(content)
    assert taskfleet("up", "-f", file).code == 2
    assert taskfleet("up", "-f", tmp_path / "missing.yaml").code == 2


def test_a_missing_api_key_is_said_with_its_variable(taskfleet: Taskfleet, tmp_path: Path) -> None:
    key = "models: [small], apiKeySecretRef: {name: my-llm, key: token}"
    (tmp_path / "all.yaml").write_text(f"{QUEUE}---\n{POOL.replace('models: [small]', key)}")
    done = taskfleet("up", "-f", tmp_path)
    assert done.code == 2
    assert "set TASKFLEET_SECRET_MY_LLM_TOKEN" in done.err


def test_a_data_folder_that_cannot_be_used_is_a_sentence(taskfleet: Taskfleet, tmp_path: Path) -> None:
    (tmp_path / "queue.yaml").write_text(QUEUE)
    in_the_way = tmp_path / "data"
    in_the_way.write_text("a file")
    done = taskfleet("up", "-f", tmp_path, "--data", in_the_way)
    assert done.code == 10
    assert "cannot use the data folder" in done.err
    assert len(done.err.splitlines()) == 1
