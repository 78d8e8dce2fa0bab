"""A store of one's own in place of the chart's, with TLS; a Secret has its URL and its authority. It is killed in the
middle, and no task is lost."""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
import yaml

from tests.e2e.cluster import SYSTEM, Cluster
from tests.e2e.conftest import IMAGE, ROOT
from tests.e2e.nodeside import node_side
from tests.e2e.release import Release
from tests.e2e.test_cluster import APPLIED, quickstart, status, task_lines
from tests.e2e.test_parallel import ITEMS, items_done, many_items
from tests.e2e.test_shrinking import stub
from tests.support.waiting import wait_until

PLACE, NAME, SECRET = "taskfleet-e2e-store", "own", "own-store"
TLS_PORT = 6380
WIRE = ROOT / "tests" / "support" / "wire.py"
TASKS = 300
VALKEY = yaml.safe_load((ROOT / "charts" / "taskfleet" / "values.yaml").read_text())["valkey"]["image"]

NOTHING_MORE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def store(password: str, authority: trustme.CA) -> list[dict[str, Any]]:
    """A Valkey that has on disk whatever it has answered; its files outlive a killed process. In front is TLS."""
    meta, labels = {"name": NAME, "namespace": PLACE}, {"app": NAME}
    arguments = ["--appendonly", "yes", "--appendfsync", "always", "--dir", "/data", "--requirepass", password]
    container = {
        "name": "valkey",
        "image": f"{VALKEY['repository']}:{VALKEY['tag']}",
        "command": ["valkey-server", *arguments],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
        "securityContext": NOTHING_MORE,
    }
    front = {
        "name": "tls",
        "image": IMAGE,
        "command": ["python", f"/front/{WIRE.name}", str(TLS_PORT), "6379", "/tls/tls.crt", "/tls/tls.key"],
        "volumeMounts": [{"name": "front", "mountPath": "/front"}, {"name": "tls", "mountPath": "/tls"}],
        "readinessProbe": {"tcpSocket": {"port": TLS_PORT}, "periodSeconds": 1},
        "securityContext": NOTHING_MORE,
    }
    volumes = [
        {"name": "data", "emptyDir": {}},
        {"name": "front", "configMap": {"name": "front"}},
        {"name": "tls", "secret": {"secretName": "tls"}},
    ]
    security = {"runAsNonRoot": True, "runAsUser": 999, "fsGroup": 999, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"containers": [container, front], "volumes": volumes, "securityContext": security}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    ports = {"selector": labels, "ports": [{"port": TLS_PORT}]}
    host = f"{NAME}.{PLACE}"
    own = authority.issue_cert(host)
    certificate = {"tls.crt": pem(*own.cert_chain_pems), "tls.key": pem(own.private_key_pem)}
    access = {"url": f"valkeys://:{password}@{host}:{TLS_PORT}", "ca.crt": pem(authority.cert_pem)}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "front", "namespace": PLACE},
            "data": {WIRE.name: WIRE.read_text()},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "tls", "namespace": PLACE},
            "stringData": certificate,
        },
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": ports},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET, "namespace": SYSTEM}, "stringData": access},
    ]


def pem(*blobs: trustme.Blob) -> str:
    return "".join(blob.bytes().decode() for blob in blobs)


@pytest.fixture(scope="module")
def own_store(release: Release, installed: Cluster) -> Iterator[Cluster]:
    """The release with a store of its user's; then with the chart's again."""
    installed.create_namespace(PLACE)
    installed.apply(*store(secrets.token_hex(24), trustme.CA()))
    installed.kubectl("rollout", "status", f"deployment/{NAME}", "-n", PLACE, "--timeout=120s", seconds=130)
    release.upgrade(valkey={"enabled": False}, store={"existingSecret": SECRET})
    yield installed
    release.upgrade()
    installed.kubectl("delete", "secret", SECRET, "-n", SYSTEM)
    installed.kubectl("delete", "namespace", PLACE, "--timeout=120s", seconds=130)


def kill(cluster: Cluster) -> None:
    """SIGKILL to the store; it is up again, which Kubernetes puts off for longer each time."""

    def pod() -> dict[str, Any]:
        (found,) = cluster.get("pods", "-l", f"app={NAME}", "-n", PLACE)["items"]
        return dict(found)

    def container() -> dict[str, Any]:
        (found,) = [each for each in pod()["status"]["containerStatuses"] if each["name"] == "valkey"]
        return dict(found)

    before = container()["restartCount"]
    with node_side(cluster) as node:
        node.kill(pod()["metadata"]["name"], "valkey-server")
    wait_until(
        lambda: container()["restartCount"] > before and container()["ready"], "the store to be back", timeout=90
    )


def test_a_killed_store_of_ones_own_loses_no_accepted_task(own_store: Cluster, namespace: str) -> None:
    cluster = own_store
    assert not cluster.get("statefulset", "taskfleet-valkey", "-n", SYSTEM), "no second store beside it"
    cluster.kubectl("apply", "-n", namespace, *APPLIED)
    cluster.kubectl("wait", "--for=condition=Ready", "tq/demo", "-n", namespace, "--timeout=30s")
    cluster.taskfleet("submit", "demo", "-n", namespace, "-f", "-", "--batch", "b", stdin=task_lines(TASKS))
    wait_until(lambda: status(cluster, namespace).get("completed", 0) > 5, "the first results", timeout=120)
    left = TASKS - int(status(cluster, namespace)["completed"])
    kill(cluster)
    wait_until(lambda: status(cluster, namespace).get("completed") == TASKS, "every task", timeout=300)

    lines = cluster.taskfleet("result", "-n", namespace, "-q", "demo", "--batch", "b", "-o", "json").splitlines()
    calls = stub(cluster, namespace)["calls"]
    again = sum(calls.values()) - TASKS
    print(f"\na store of one's own killed with {left} of {TASKS} tasks open: {again} calls made again, none lost")
    assert left > 0
    assert status(cluster, namespace)["failed"] == 0
    assert len(calls) == TASKS
    assert [json.loads(line)["output"] for line in lines] == [f"echo: question {number}" for number in range(TASKS)]


def test_a_parallel_queue_goes_on_after_its_store_was_killed(own_store: Cluster, namespace: str) -> None:
    cluster = own_store
    cluster.apply(*quickstart(namespace), many_items(namespace))
    wait_until(lambda: items_done(cluster, namespace) >= ITEMS // 4, "a quarter of the items", timeout=120)
    left = ITEMS - items_done(cluster, namespace)
    kill(cluster)
    cluster.kubectl("wait", "--for=condition=Ended", "pq/work", "-n", namespace, "--timeout=180s", seconds=190)

    ended = cluster.get("pq", "work", "-n", namespace)["status"]
    lines = cluster.taskfleet("parallel", "results", "work", "-q", "demo", "-n", namespace).splitlines()
    calls = stub(cluster, namespace)["calls"]
    again = sum(calls.values()) - 2 * ITEMS
    print(
        f"\nits store killed with {left} of {ITEMS} items of a ParallelQueue open: {again} calls made again, none lost"
    )
    assert left > 0
    assert (ended["phase"], ended["completed"]) == ("Completed", ITEMS)
    assert sorted(json.loads(line)["item"] for line in lines) == list(range(ITEMS))
    assert len(calls) == 2 * ITEMS
    cluster.kubectl("delete", "pq", "work", "-n", namespace, "--timeout=60s", seconds=70)
