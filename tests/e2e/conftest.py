"""The chart of this tree installed in a real cluster, as a user would: ``make e2e`` with KUBECONFIG set. Else skipped.

The cluster must be able to run the image, taskfleet:0.1.0 or what TASKFLEET_E2E_IMAGE says. Nothing of Taskfleet may be
in it yet: everything is deleted at the end, the custom resources included. Every namespace enforces `restricted`.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import SYSTEM, Cluster
from tests.e2e.release import Release

ROOT = Path(__file__).parents[2]
STUB = sorted((ROOT / "tests" / "support").glob("*stub.py"))
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
def release(cluster: Cluster) -> Iterator[Release]:
    """The chart, installed; gone without a trace at the end."""
    volume = None if cluster.get("storageclass") else make_volume(cluster, "taskfleet-e2e", "data-taskfleet-valkey-0")
    cluster.create_namespace(SYSTEM)
    repository, _, tag = IMAGE.rpartition(":")
    made = Release({"image": {"repository": repository, "tag": tag}})
    made.install()
    yield made
    made.uninstall()
    assert cluster.get("crd", "workerpools.taskfleet.dev"), "whoever uninstalls by mistake keeps the queues"
    crds = [f"{kind}.taskfleet.dev" for kind in ("taskqueues", "workerpools", "parallelqueues")]
    cluster.kubectl("delete", "crd", *crds, "--timeout=60s", seconds=70)
    cluster.kubectl("delete", "namespace", SYSTEM, "--timeout=120s", seconds=130)
    left = cluster.get("clusterroles,clusterrolebindings,crds", "-l", "app.kubernetes.io/part-of=taskfleet")
    assert not left or not left["items"], left
    if volume:
        cluster.kubectl("delete", "pv", volume, "--timeout=60s")


@pytest.fixture(scope="session")
def installed(cluster: Cluster, release: Release) -> Cluster:
    """The cluster with the chart in it."""
    return cluster


@pytest.fixture
def namespace(installed: Cluster) -> Iterator[str]:
    """A namespace with a stub model server as the Service ``llm``; its queues are gone before it is."""
    name = f"e2e-{uuid.uuid4().hex[:6]}"
    installed.create_namespace(name)
    files = [f"--from-file={path}" for path in STUB]
    installed.kubectl("create", "configmap", "modelstub", *files, "-n", name)
    installed.apply(*model_server(name))
    installed.kubectl("rollout", "status", "deployment/llm", "-n", name, "--timeout=120s", seconds=130)
    yield name
    installed.kubectl("annotate", "tq", "--all", "taskfleet.dev/discard-tasks=true", "-n", name)
    installed.kubectl("delete", "tq,wp", "--all", "-n", name, "--timeout=60s", seconds=70)
    installed.kubectl("delete", "namespace", name, "--timeout=120s", seconds=130)


def model_server(namespace: str, **seconds: float) -> list[dict[str, object]]:
    """``seconds``: the stub's options (latency, jitter, chunk_latency)."""
    labels = {"app": "llm"}
    command = ["python", "-m", "tests.support.modelstub", "--host", "0.0.0.0", "--port", "8080"]
    for name, value in ({"latency": 0.2} | seconds).items():
        command += [f"--{name.replace('_', '-')}", f"{value:g}"]
    container = {
        "name": "llm",
        "image": IMAGE,
        "command": command,
        "workingDir": "/stub",
        "volumeMounts": [{"name": "stub", "mountPath": "/stub"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    where = [{"key": path.name, "path": str(path.relative_to(ROOT))} for path in STUB]
    volumes = [{"name": "stub", "configMap": {"name": "modelstub", "items": where}}]
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {
        "containers": [container],
        "volumes": volumes,
        "terminationGracePeriodSeconds": 1,
        "securityContext": security,
    }
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


def make_volume(cluster: Cluster, name: str, claim: str, access: str = "ReadWriteOnce") -> str:
    """A folder of the node as a volume for ``claim``, which any user may write, for clusters that provide none."""
    folder = {"path": f"/var/lib/{name}", "type": "DirectoryOrCreate"}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "8Gi"},
            "accessModes": [access],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": folder,
            "claimRef": {"namespace": SYSTEM, "name": claim},
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
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}}
    cluster.apply(volume, {**pod, "spec": pod_spec})
    done = "--for=jsonpath={.status.phase}=Succeeded"
    cluster.kubectl("wait", done, f"pod/{name}", "-n", "default", "--timeout=60s", seconds=70)
    cluster.kubectl("delete", "pod", name, "-n", "default")
    return name
