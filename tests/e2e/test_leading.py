"""Two controllers of the chart: one acts, and the other takes over when the first is killed or stopped, under work."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cluster import SYSTEM, Cluster
from tests.e2e.nodeside import node_side
from tests.e2e.release import Release
from tests.e2e.test_cluster import APPLIED, status, task_lines
from tests.e2e.test_shrinking import stub
from tests.support.waiting import wait_until

AFTER_A_KILL, AFTER_A_STOP = 15.0, 3.0
TASKS = 300
CONTROLLERS = "app.kubernetes.io/component=controller,app.kubernetes.io/instance=taskfleet"


@pytest.fixture
def two_controllers(release: Release, installed: Cluster) -> Iterator[Cluster]:
    release.upgrade(controller={"replicas": 2})
    wait_until(lambda: len(standing(installed)) == 2, "two controllers that are ready", timeout=60)
    yield installed
    release.upgrade()


def standing(cluster: Cluster) -> set[str]:
    """The controllers that are ready and not on their way out."""
    pods = cluster.get("pods", "-l", CONTROLLERS, "-n", SYSTEM)["items"]
    return {
        pod["metadata"]["name"]
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
    }


def leader(cluster: Cluster) -> str:
    """The pod that has the Lease, "" for none."""
    spec: dict[str, Any] = cluster.get("lease", "taskfleet-controller", "-n", SYSTEM)["spec"]
    return str(spec.get("holderIdentity") or "").rpartition("_")[0]


def takeover(cluster: Cluster, before: str) -> float:
    """Seconds until another one leads."""
    began = time.monotonic()
    wait_until(lambda: leader(cluster) not in ("", before), f"another leader than {before}", timeout=60)
    return time.monotonic() - began


def test_a_killed_and_a_stopped_leader_are_followed_in_time_and_no_call_is_lost_or_made_twice(
    two_controllers: Cluster, namespace: str
) -> None:
    cluster = two_controllers
    cluster.kubectl("apply", "-n", namespace, *APPLIED)
    cluster.kubectl("wait", "--for=condition=Ready", "tq/demo", "-n", namespace, "--timeout=30s")
    with node_side(cluster) as node:
        first = leader(cluster)
        cluster.taskfleet("submit", "demo", "-n", namespace, "-f", "-", stdin=task_lines(TASKS))
        wait_until(lambda: status(cluster, namespace).get("completed", 0) > 5, "the first results", timeout=120)
        node.kill(first)
        killed = takeover(cluster, first)

    wait_until(lambda: len(standing(cluster)) == 2, "the killed one to be back", timeout=90)
    second = leader(cluster)
    cluster.kubectl("delete", "pod", second, "-n", SYSTEM, "--wait=false")
    stopped = takeover(cluster, second)

    print(f"\nanother controller led {killed:.1f} s after SIGKILL, {stopped:.1f} s after a stop")
    wait_until(lambda: status(cluster, namespace).get("completed") == TASKS, "every task", timeout=300)
    assert status(cluster, namespace)["failed"] == 0
    assert set(stub(cluster, namespace)["calls"].values()) == {1}
    assert killed < AFTER_A_KILL
    assert stopped < AFTER_A_STOP
