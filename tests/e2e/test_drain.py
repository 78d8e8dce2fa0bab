"""The node of the workers is drained under work: no call is cut, none is made twice, and the node's return is enough.

``TASKFLEET_E2E_NODE`` names a node of which everything may be evicted, other people's pods too. Where it is the only
one, the store and the controller go as well, and have nowhere to be until it is back. Figures are printed.
"""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cluster import SYSTEM, Cluster, running
from tests.e2e.conftest import model_server
from tests.e2e.test_cluster import status, task_lines
from tests.e2e.test_shrinking import objects, pods, ready, stub
from tests.support.apiserver import kubectl_path
from tests.support.waiting import wait_until

NODE = os.environ.get("TASKFLEET_E2E_NODE", "")
WORKERS, TASKS, SECONDS = 3, 200, 5
SERVER = "daemonset/llm"
WORKERS_ALONE: tuple[str, ...] = ("--pod-selector=taskfleet.dev/pool=demo",)
EVERYTHING: tuple[str, ...] = ()


def start(cluster: Cluster, namespace: str, node: str) -> None:
    """Workers on one node, with a model server that a drain passes over, as it would one that is elsewhere."""
    there = {"kubernetes.io/hostname": cluster.get("node", node)["metadata"]["labels"]["kubernetes.io/hostname"]}
    deployment, service = model_server(namespace, latency=SECONDS)
    spec: Any = deployment["spec"]
    spec["template"]["spec"]["nodeSelector"] = there
    queue, pool = objects(namespace, WORKERS)
    pool["spec"]["workerTemplate"] = {"nodeSelector": there}
    cluster.kubectl("delete", "deployment", "llm", "-n", namespace, "--timeout=60s", seconds=70)
    cluster.apply({**deployment, "kind": "DaemonSet"}, service, queue, pool)
    cluster.kubectl("rollout", "status", SERVER, "-n", namespace, "--timeout=120s", seconds=130)
    wait_until(lambda: ready(cluster, namespace) == WORKERS, f"{WORKERS} ready workers", timeout=240)


@contextlib.contextmanager
def draining(cluster: Cluster, node: str, *which: str) -> Iterator[subprocess.Popen[str]]:
    """``kubectl drain``, which goes on meanwhile; in the end the node is open again in any case."""
    options = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s")
    with running([kubectl_path(), "drain", node, *options, *which]) as drain:
        try:
            yield drain
        finally:
            cluster.kubectl("uncordon", node)


@pytest.mark.parametrize("which", [WORKERS_ALONE, EVERYTHING], ids=["workers", "everything"])
def test_a_drained_node_cuts_no_call_and_has_none_made_twice(
    installed: Cluster, namespace: str, which: tuple[str, ...]
) -> None:
    if which == EVERYTHING and not NODE:
        pytest.skip("NO NODE TO DRAIN: TASKFLEET_E2E_NODE is to name one of which everything may be evicted")
    cluster = installed
    node = NODE or str(cluster.get("pods", "-l", "app=llm", "-n", namespace)["items"][0]["spec"]["nodeName"])
    start(cluster, namespace, node)
    began = time.monotonic()
    cluster.taskfleet("submit", "demo", "-n", namespace, "-f", "-", "--batch", "story", stdin=task_lines(TASKS))
    wait_until(lambda: status(cluster, namespace).get("completed", 0) >= TASKS // 5, "the first results", timeout=60)

    def seen() -> dict[str, Any]:
        return stub(cluster, namespace, server=SERVER)

    def on_node() -> list[dict[str, Any]]:
        return [pod for pod in pods(cluster, namespace) if pod["spec"].get("nodeName")]

    busy, told = seen()["inflight"], time.monotonic()
    with draining(cluster, node, *which) as drain:
        wait_until(lambda: not on_node(), "the workers to be told to go", timeout=60)
        wait_until(lambda: seen()["inflight"] == 0, "the calls to end", timeout=60)
        quiet = time.monotonic() - told
        if which == EVERYTHING:  # the workers still hold what the calls brought: the store may be gone
            cluster.kubectl("uncordon", node)
        said, _ = drain.communicate(timeout=190)
        assert drain.returncode == 0, said
        gone = time.monotonic() - told
    cluster.kubectl("rollout", "status", "deployment/taskfleet-controller", "-n", SYSTEM, "--timeout=120s", seconds=130)
    wait_until(lambda: status(cluster, namespace).get("completed") == TASKS, "all tasks", timeout=240)

    results = cluster.taskfleet("result", "-n", namespace, "-q", "demo", "--batch", "story", "-o", "json")
    attempts = [json.loads(line)["attempts"] for line in results.splitlines()]
    last = seen()
    print(
        f"\n{said}\n{TASKS} calls of {SECONDS} s, a node drained with {busy} of them running: {last['hung_up']} cut, "
        f"{sum(last['calls'].values()) - TASKS} made again; the last call had ended after {quiet:.1f} s, the drain "
        f"after {gone:.1f} s, all was done after {time.monotonic() - began:.0f} s"
    )
    assert busy > 0, "there must have been calls to lose"
    assert last["hung_up"] == 0
    assert len(last["calls"]) == TASKS
    assert set(last["calls"].values()) == {1}
    assert attempts == [1] * TASKS
