"""A store of one's own, named by a Secret in place of the chart's: killed in the middle, and no task is lost."""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import SYSTEM, Cluster
from tests.e2e.conftest import ROOT
from tests.e2e.nodeside import node_side
from tests.e2e.release import Release
from tests.e2e.test_cluster import APPLIED, quickstart, status, task_lines
from tests.e2e.test_parallel import ITEMS, items_done, many_items
from tests.e2e.test_shrinking import stub
from tests.support.waiting import wait_until

PLACE, NAME, SECRET = "taskfleet-e2e-store", "own", "own-store"
TASKS = 300
VALKEY = yaml.safe_load((ROOT / "charts" / "taskfleet" / "values.yaml").read_text())["valkey"]["image"]


def store(password: str) -> list[dict[str, Any]]:
    """A Valkey that has on disk whatever it has answered; its files outlive a killed process."""
    meta, labels = {"name": NAME, "namespace": PLACE}, {"app": NAME}
    arguments = ["--appendonly", "yes", "--appendfsync", "always", "--dir", "/data", "--requirepass", password]
    container = {
        "name": "valkey",
        "image": f"{VALKEY['repository']}:{VALKEY['tag']}",
        "command": ["valkey-server", *arguments],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 999, "fsGroup": 999, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}], "securityContext": security}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    ports = {"selector": labels, "ports": [{"port": 6379}]}
    url = {"url": f"valkey://:{password}@{NAME}.{PLACE}:6379"}
    named = {"name": SECRET, "namespace": SYSTEM}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": ports},
        {"apiVersion": "v1", "kind": "Secret", "metadata": named, "stringData": url},
    ]


@pytest.fixture(scope="module")
def own_store(release: Release, installed: Cluster) -> Iterator[Cluster]:
    """The release with a store of its user's; then with the chart's again."""
    installed.create_namespace(PLACE)
    installed.apply(*store(secrets.token_hex(24)))
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
        return dict(pod()["status"]["containerStatuses"][0])

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
