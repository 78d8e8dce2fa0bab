"""Manifests as `up` reads them: the namespace of objects without one, changes, API keys from the environment."""

import os
from pathlib import Path

import pytest

from taskfleet.core.errors import InputError, InvalidManifest
from taskfleet.core.pool import AutoscalingMode
from taskfleet.local.manifestfiles import ManifestFiles

QUEUE = """\
apiVersion: taskfleet.dev/v1alpha1
kind: TaskQueue
metadata: {{name: demo{namespace}}}
spec: {{models: [{{name: small}}]}}
"""
POOL = """\
apiVersion: taskfleet.dev/v1alpha1
kind: WorkerPool
metadata: {name: pool}
spec:
  queueRef: {name: demo}
  endpoints:
  - {name: a, url: "http://a/v1", models: [small], apiKeySecretRef: {name: llm.key, key: api-token}}
  - {name: b, url: "http://b/v1", models: [small], apiKeySecretRef: {name: other, key: token}}
"""
PARALLEL = """\
apiVersion: taskfleet.dev/v1alpha1
kind: ParallelQueue
metadata: {name: work}
spec:
  queueRef: {name: demo}
  items: [a]
  actionLoop: [{name: say, action: "say {{ $item }}"}]
"""


def files(*paths: Path, namespace: str = "team", **environment: str) -> ManifestFiles:
    return ManifestFiles(paths, namespace=namespace, environment=environment)


def test_objects_without_a_namespace_get_the_one_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(QUEUE.format(namespace=""))
    (tmp_path / "b.yaml").write_text(QUEUE.format(namespace=", namespace: own"))
    keys = {str(queue.key) for queue in files(tmp_path).load().queues}
    assert keys == {"team/demo", "own/demo"}


def test_two_objects_that_become_one_by_their_namespace_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(QUEUE.format(namespace=""))
    (tmp_path / "b.yaml").write_text(QUEUE.format(namespace=", namespace: team"))
    with pytest.raises(InvalidManifest, match='2 objects TaskQueue "demo" in the namespace "team"'):
        files(tmp_path).load()


def test_a_change_is_seen_once(tmp_path: Path) -> None:
    queue = tmp_path / "a.yaml"
    queue.write_text(QUEUE.format(namespace=""))
    watched = files(tmp_path)
    watched.load()
    assert not watched.changed()
    (tmp_path / "notes.txt").write_text("not a manifest")
    assert not watched.changed()
    status = queue.stat()
    os.utime(queue, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert watched.changed()
    watched.load()
    assert not watched.changed()
    queue.write_text("nonsense: [")
    assert watched.changed()
    with pytest.raises(InvalidManifest):
        watched.load()
    assert not watched.changed(), "a wrong edit is reported once, not every second"
    queue.unlink()
    assert watched.changed()


def test_every_missing_api_key_is_named_with_its_variable(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(QUEUE.format(namespace="") + "---\n" + POOL)
    with pytest.raises(InputError) as refused:
        files(tmp_path, TASKFLEET_SECRET_OTHER_TOKEN="").load()
    assert "TASKFLEET_SECRET_LLM_KEY_API_TOKEN" in str(refused.value)
    assert "TASKFLEET_SECRET_OTHER_TOKEN" in str(refused.value)
    loaded = files(tmp_path, TASKFLEET_SECRET_OTHER_TOKEN="x", TASKFLEET_SECRET_LLM_KEY_API_TOKEN="y").load()
    assert len(loaded.pools) == 1


def test_a_model_server_of_its_own_is_refused_where_there_are_no_pods(tmp_path: Path) -> None:
    server = "  endpoints: [{name: own, models: [small], server: {image: vllm, port: 8000}}]\n"
    (tmp_path / "a.yaml").write_text(QUEUE.format(namespace="") + "---\n" + POOL.partition("  endpoints:")[0] + server)
    with pytest.raises(InvalidManifest, match=r'"pool": the server of endpoint own is a container in the pods of a'):
        files(tmp_path).load()


def test_discovery_is_refused_where_there_are_no_services(tmp_path: Path) -> None:
    found = "discovery: {selector: {matchLabels: {app: ollama}}, port: 11434, models: [small]}"
    pool = POOL.partition("  endpoints:")[0] + f"  {found}\n"
    (tmp_path / "a.yaml").write_text(QUEUE.format(namespace="") + "---\n" + pool)
    with pytest.raises(InvalidManifest, match=r'"pool": spec.discovery looks for the Services of a cluster'):
        files(tmp_path).load()


def test_mode_hpa_works_as_operator_where_there_are_no_hpas_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(QUEUE.format(namespace=""))
    (tmp_path / "b.yaml").write_text(f"{POOL}  autoscaling: {{mode: HPA, maxWorkers: 7}}\n")
    manifests = files(tmp_path, TASKFLEET_SECRET_LLM_KEY_API_TOKEN="a", TASKFLEET_SECRET_OTHER_TOKEN="b").load()
    scaling = manifests.pools[0].spec.autoscaling
    assert (scaling.mode, scaling.max_workers) == (AutoscalingMode.OPERATOR, 7)
    assert "autoscaling.mode HPA works as Operator here" in manifests.notes[-1]


def test_a_parallel_queue_is_left_to_its_command_and_a_note_says_which(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{QUEUE.format(namespace='')}---\n{PARALLEL}")
    manifests = files(tmp_path).load()
    assert manifests.parallel == []
    assert manifests.notes == ["ParallelQueue work: run it with `taskfleet parallel run FILE`"]
