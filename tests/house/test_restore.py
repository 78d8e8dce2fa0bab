"""What docs/guides/operations.md says of a copy of the store: it can be put back, and nothing else is taken for one."""

import subprocess
from pathlib import Path

import yaml

from tests.support.valkeyserver import running_valkey

ROOT = Path(__file__).resolve().parents[2]
CONFIG_MAP, POD = yaml.safe_load_all((ROOT / "manifests/restore.yaml").read_text())
AS_THE_CHART = {"appendonly": "yes", "save": ""}
CHART = yaml.safe_load((ROOT / "charts/taskfleet/values.yaml").read_text())


def restore(volume: Path, copy: bytes) -> subprocess.CompletedProcess[bytes]:
    command = ["sh", "-c", CONFIG_MAP["data"]["restore.sh"], "restore.sh", str(volume)]
    return subprocess.run(command, input=copy, capture_output=True, timeout=30, check=False)


def test_a_copy_takes_the_place_of_what_was_in_the_volume(tmp_path: Path) -> None:
    before, volume = tmp_path / "before", tmp_path / "volume"
    with running_valkey(before, **AS_THE_CHART) as server:
        client = server.client()
        client.set("task", "kept")
        client.save()
        copy = (before / "dump.rdb").read_bytes()
    with running_valkey(volume, **AS_THE_CHART) as server:
        server.client().set("task", "of a later time")
    assert restore(volume, copy).returncode == 0
    with running_valkey(volume, **AS_THE_CHART) as server:
        assert server.client().get("task") in (b"kept", "kept")
        server.client().set("task", "goes on")


def test_what_is_no_copy_leaves_the_volume_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    done = restore(tmp_path, b"error: pod not found")
    assert done.returncode == 1
    assert done.stderr == b"this is no copy of Valkey's; the volume is as it was\n"
    assert [path.name for path in tmp_path.iterdir()] == ["appendonlydir"]


def test_the_pod_has_the_volume_and_the_image_of_the_chart() -> None:
    (container,) = POD["spec"]["containers"]
    image = CHART["valkey"]["image"]
    assert container["image"] == f"{image['repository']}:{image['tag']}"
    assert POD["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == "data-taskfleet-valkey-0"
