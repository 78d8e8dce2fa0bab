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
from tests.e2e.test_parallel import ITEMS, items_done, many_items
from tests.e2e.test_shrinking import objects, pods, ready, stub
from tests.support.apiserver import kubectl_path
from tests.support.waiting import wait_until

NODE = os.environ.get("TASKFLEET_E2E_NODE", "")
WORKERS, TASKS, SECONDS = 3, 200, 5
SERVER = "daemonset/llm"
LEASE = "60s"  # longer than the store is away: what was begun under a lease that ended meanwhile may be begun again
NO_NODE = "NO NODE TO DRAIN: TASKFLEET_E2E_NODE is to name one of which everything may be evicted"
WORKERS_ALONE: tuple[str, ...] = ("--pod-selector=taskfleet.dev/pool=demo",)
EVERYTHING: tuple[str, ...] = ()


def start(cluster: Cluster, namespace: str, node: str, *, latency: float) -> None:
    """Workers on one node, with a model server that a drain passes over, as it would one that is elsewhere."""
    there = {"kubernetes.io/hostname": cluster.get("node", node)["metadata"]["labels"]["kubernetes.io/hostname"]}
    deployment, service = model_server(namespace, latency=latency)
    spec: Any = deployment["spec"]
    spec["template"]["spec"]["nodeSelector"] = there
    queue, pool = objects(namespace, WORKERS)
    queue["spec"]["leaseDuration"] = LEASE
    pool["spec"]["workerTemplate"] = {"nodeSelector": there}
    cluster.kubectl("delete", "deployment", "llm", "-n", namespace, "--timeout=60s", seconds=70)
    cluster.apply({**deployment, "kind": "DaemonSet"}, service, queue, pool)
    cluster.kubectl("rollout", "status", SERVER, "-n", namespace, "--timeout=120s", seconds=130)
    wait_until(lambda: ready(cluster, namespace) == WORKERS, f"{WORKERS} ready workers", timeout=240)


@contextlib.contextmanager
def draining(cluster: Cluster, node: str, *which: str) -> Iterator[subprocess.Popen[str]]:
    """``kubectl drain``, which goes on meanwhile; in the end the node is open again in any case."""
    options = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s")
    with running([kubectl_path(), "drain", node, *options, *which]) as process:
        try:
            yield process
        finally:
            cluster.kubectl("uncordon", node)


def drain(cluster: Cluster, namespace: str, node: str, which: tuple[str, ...]) -> str:
    """Drain the node under calls, and open it again; what ``kubectl drain`` said, and when calls and pods were gone.

    It is open as soon as the workers have no call any more: of what went with them, the store has nowhere else to be,
    and they still hold what their calls brought.
    """

    def on_node() -> list[dict[str, Any]]:
        return [pod for pod in pods(cluster, namespace) if pod["spec"].get("nodeName")]

    began = time.monotonic()
    with draining(cluster, node, *which) as process:
        wait_until(lambda: not on_node(), "the workers to be told to go", timeout=60)
        wait_until(lambda: seen(cluster, namespace)["inflight"] == 0, "the calls to end", timeout=60)
        quiet = time.monotonic() - began
        if which == EVERYTHING:
            cluster.kubectl("uncordon", node)
        said, _ = process.communicate(timeout=190)
        assert process.returncode == 0, said
        gone = time.monotonic() - began
    controller = "deployment/taskfleet-controller"
    cluster.kubectl("rollout", "status", controller, "-n", SYSTEM, "--timeout=120s", seconds=130)
    return f"{said}the last call had ended after {quiet:.1f} s, the drain after {gone:.1f} s"


def seen(cluster: Cluster, namespace: str) -> dict[str, Any]:
    return stub(cluster, namespace, server=SERVER)


@pytest.mark.parametrize("which", [WORKERS_ALONE, EVERYTHING], ids=["workers", "everything"])
def test_a_drained_node_cuts_no_call_and_has_none_made_twice(
    installed: Cluster, namespace: str, which: tuple[str, ...]
) -> None:
    if which == EVERYTHING and not NODE:
        pytest.skip(NO_NODE)
    cluster = installed
    node = NODE or str(cluster.get("pods", "-l", "app=llm", "-n", namespace)["items"][0]["spec"]["nodeName"])
    start(cluster, namespace, node, latency=SECONDS)
    began = time.monotonic()
    cluster.taskfleet("submit", "demo", "-n", namespace, "-f", "-", "--batch", "story", stdin=task_lines(TASKS))
    wait_until(lambda: status(cluster, namespace).get("completed", 0) >= TASKS // 5, "the first results", timeout=60)
    busy = seen(cluster, namespace)["inflight"]
    told = drain(cluster, namespace, node, which)
    wait_until(lambda: status(cluster, namespace).get("completed") == TASKS, "all tasks", timeout=240)

    results = cluster.taskfleet("result", "-n", namespace, "-q", "demo", "--batch", "story", "-o", "json")
    attempts = [json.loads(line)["attempts"] for line in results.splitlines()]
    last = seen(cluster, namespace)
    print(
        f"\n{told}; {TASKS} calls of {SECONDS} s, {busy} of them running: {last['hung_up']} cut, "
        f"{sum(last['calls'].values()) - TASKS} made again; all was done after {time.monotonic() - began:.0f} s"
    )
    assert busy > 0, "there must have been calls to lose"
    assert last["hung_up"] == 0
    assert len(last["calls"]) == TASKS
    assert set(last["calls"].values()) == {1}
    assert attempts == [1] * TASKS


def test_a_parallel_queue_goes_on_when_all_that_runs_it_was_on_a_drained_node(
    installed: Cluster, namespace: str
) -> None:
    if not NODE:
        pytest.skip(NO_NODE)
    cluster = installed
    start(cluster, namespace, NODE, latency=1)
    work = many_items(namespace)
    work["spec"]["maxParallel"] = ITEMS // 5
    cluster.apply(work)
    wait_until(lambda: items_done(cluster, namespace) >= ITEMS // 4, "a quarter of the items", timeout=60)
    left = ITEMS - items_done(cluster, namespace)
    told = drain(cluster, namespace, NODE, EVERYTHING)
    cluster.kubectl("wait", "--for=condition=Ended", "pq/work", "-n", namespace, "--timeout=180s", seconds=190)

    ended, last = cluster.get("pq", "work", "-n", namespace)["status"], seen(cluster, namespace)
    again = sum(last["calls"].values()) - 2 * ITEMS
    print(f"\n{told}; {left} of {ITEMS} items of a ParallelQueue were open: {last['hung_up']} cut, {again} made again")
    assert left > 0
    assert (ended["phase"], ended["completed"]) == ("Completed", ITEMS)
    assert last["hung_up"] == 0
    assert len(last["calls"]) == 2 * ITEMS
    assert set(last["calls"].values()) == {1}
    cluster.kubectl("delete", "pq", "work", "-n", namespace, "--timeout=60s", seconds=70)
