"""Taskfleet installed in a real cluster, as a user would: ``make e2e`` with KUBECONFIG set. Skipped without.

The cluster must be able to run the image that ``manifests/install.yaml`` names. Nothing of Taskfleet may be in it yet:
everything is deleted at the end, the custom resources included.
"""

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import SYSTEM, Cluster

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "manifests" / "install.yaml"
STUB = [ROOT / "tests" / "support" / name for name in ("modelstub.py", "dialectstub.py")]
IMAGE = os.environ.get("TASKFLEET_E2E_IMAGE", "taskfleet:0.1.0")


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster of KUBECONFIG, with nothing of ours in it."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("NO CLUSTER: set KUBECONFIG to one that may be used for these tests (make e2e)")
    found = Cluster()
    if found.get("crd", "taskqueues.taskfleet.dev") or found.get("namespace", SYSTEM):
        pytest.fail("Taskfleet is installed in this cluster already; these tests would delete it: use another cluster")
    return found


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Iterator[Cluster]:
    """The installation, up and running; taken away at the end."""
    volume = None if cluster.get("storageclass") else make_volume(cluster)
    cluster.kubectl("apply", "--server-side", "-f", str(INSTALL))
    cluster.kubectl("rollout", "status", "statefulset/taskfleet-valkey", "-n", SYSTEM, "--timeout=180s", seconds=190)
    cluster.kubectl("rollout", "status", "deployment/taskfleet-controller", "-n", SYSTEM, "--timeout=180s", seconds=190)
    yield cluster
    cluster.kubectl("delete", "-f", str(INSTALL), "--timeout=120s", seconds=130)
    assert cluster.get("crd", "workerpools.taskfleet.dev") is None
    if volume:
        cluster.kubectl("delete", "pv", volume, "--timeout=60s")


@pytest.fixture
def namespace(installed: Cluster) -> Iterator[str]:
    """A namespace with a stub model server as the Service ``llm``; its queues are gone before it is."""
    name = f"e2e-{uuid.uuid4().hex[:6]}"
    installed.kubectl("create", "namespace", name)
    files = [f"--from-file={path}" for path in STUB]
    installed.kubectl("create", "configmap", "modelstub", *files, "-n", name)
    installed.apply(*model_server(name))
    installed.kubectl("rollout", "status", "deployment/llm", "-n", name, "--timeout=120s", seconds=130)
    yield name
    installed.kubectl("annotate", "tq", "--all", "taskfleet.dev/discard-tasks=true", "-n", name)
    installed.kubectl("delete", "tq,wp", "--all", "-n", name, "--timeout=60s", seconds=70)
    installed.kubectl("delete", "namespace", name, "--timeout=120s", seconds=130)


def model_server(namespace: str) -> list[dict[str, object]]:
    labels = {"app": "llm"}
    command = ["python", "-m", "tests.support.modelstub", "--host", "0.0.0.0", "--port", "8080", "--latency", "0.2"]
    container = {
        "name": "llm",
        "image": IMAGE,
        "command": command,
        "workingDir": "/stub",
        "volumeMounts": [{"name": "stub", "mountPath": "/stub"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
    }
    where = [{"key": path.name, "path": str(path.relative_to(ROOT))} for path in STUB]
    volumes = [{"name": "stub", "configMap": {"name": "modelstub", "items": where}}]
    pod = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    meta = {"name": "llm", "namespace": namespace}
    ports = {"selector": labels, "ports": [{"port": 8080}]}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": ports},
    ]


def make_volume(cluster: Cluster) -> str:
    """A folder of the node as a volume that Valkey's user may write, for clusters that provide none."""
    folder = {"path": "/var/lib/taskfleet-e2e", "type": "DirectoryOrCreate"}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "taskfleet-e2e"},
        "spec": {
            "capacity": {"storage": "8Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": folder,
            "claimRef": {"namespace": SYSTEM, "name": "data-taskfleet-valkey-0"},
        },
    }
    empty = "[(shutil.rmtree if each.is_dir() else os.remove)(each) for each in os.scandir('/data')]"
    empty_and_open = f"import os, shutil; {empty}; os.chmod('/data', 0o777)"
    container = {
        "name": "open",
        "image": IMAGE,
        "command": ["python", "-c", empty_and_open],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod_spec = {"restartPolicy": "Never", "containers": [container], "volumes": [{"name": "data", "hostPath": folder}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "taskfleet-e2e", "namespace": "default"}}
    cluster.apply(volume, {**pod, "spec": pod_spec})
    done = "--for=jsonpath={.status.phase}=Succeeded"
    cluster.kubectl("wait", done, "pod/taskfleet-e2e", "-n", "default", "--timeout=60s", seconds=70)
    cluster.kubectl("delete", "pod", "taskfleet-e2e", "-n", "default")
    return json.loads(json.dumps(volume["metadata"]))["name"]
