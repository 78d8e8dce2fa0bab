"""The chart's store is killed and away for longer than a lease, under calls: no call is cut, and none is made twice.

What workers hold meanwhile they bring when it is back (ADR 0024). Figures are printed.
"""

import contextlib
import json
import time
from collections.abc import Iterator

from tests.e2e.cluster import SYSTEM, Cluster
from tests.e2e.conftest import model_server
from tests.e2e.nodeside import NodeSide, node_side
from tests.e2e.test_cluster import status, task_lines
from tests.e2e.test_parallel import items_done, many_items
from tests.e2e.test_shrinking import AT_ONCE, objects, ready, stub
from tests.support.waiting import wait_until

STORE = "taskfleet-valkey"
LEASE_SECONDS = 15
SECONDS, JITTER = 30, 0.8  # some calls end while the store is away, and some after its return
WORKERS, TASKS, ITEMS = 3, 50, 10


@contextlib.contextmanager
def away(cluster: Cluster, node: NodeSide) -> Iterator[None]:
    """Killed, and its pod taken away; then there again."""
    pod, store = f"{STORE}-0", f"statefulset/{STORE}"
    node.kill(pod, "valkey-server")
    cluster.kubectl("scale", store, "--replicas=0", "-n", SYSTEM)
    cluster.kubectl("wait", "--for=delete", f"pod/{pod}", "-n", SYSTEM, "--timeout=60s", seconds=70)
    try:
        yield
    finally:
        cluster.kubectl("scale", store, "--replicas=1", "-n", SYSTEM)
        cluster.kubectl("rollout", "status", store, "-n", SYSTEM, "--timeout=120s", seconds=130)


def test_a_store_that_is_back_after_more_than_a_lease_has_no_call_made_twice(
    installed: Cluster, namespace: str
) -> None:
    cluster = installed
    work = many_items(namespace)
    work["spec"] |= {"items": list(range(ITEMS)), "maxParallel": ITEMS}
    cluster.apply(*model_server(namespace, latency=SECONDS, jitter=JITTER), *objects(namespace, WORKERS))
    cluster.kubectl("rollout", "status", "deployment/llm", "-n", namespace, "--timeout=120s", seconds=130)
    wait_until(lambda: ready(cluster, namespace) == WORKERS, f"{WORKERS} ready workers", timeout=240)
    with node_side(cluster) as node:
        cluster.apply(work)
        cluster.taskfleet("submit", "demo", "-n", namespace, "-f", "-", "--batch", "story", stdin=task_lines(TASKS))
        wait_until(lambda: stub(cluster, namespace)["inflight"] > AT_ONCE * WORKERS * 3 // 4, "most slots to be busy")
        killed, before = time.monotonic(), stub(cluster, namespace)
        with away(cluster, node):
            over = time.monotonic() + 1.5 * LEASE_SECONDS
            wait_until(lambda: time.monotonic() > over, "more than a lease to pass", timeout=60)
            after = stub(cluster, namespace)
        absence = time.monotonic() - killed
    cluster.kubectl("wait", "--for=condition=Ended", "pq/work", "-n", namespace, "--timeout=240s", seconds=250)
    wait_until(lambda: status(cluster, namespace)["running"] == 0, "the last calls to end", timeout=120)
    batch = ("--batch", "story", "-q", "demo", "-n", namespace, "-o", "json")
    results = [json.loads(line) for line in cluster.taskfleet("result", *batch).splitlines()]

    ended, last = sum(after["answered"].values()) - sum(before["answered"].values()), stub(cluster, namespace)
    again = sum(last["calls"].values()) - len(last["calls"])
    print(
        f"\nthe store was away for {absence:.0f} s, with {before['inflight']} calls running of which {ended} ended "
        f"meanwhile and {after['inflight']} after that: {last['hung_up']} cut, {again} made again"
    )
    assert ended > 0
    assert after["inflight"] > 0
    assert (last["hung_up"], again, len(last["calls"])) == (0, 0, TASKS + 2 * ITEMS)
    assert [each["attempts"] for each in results] == [1] * TASKS
    assert items_done(cluster, namespace) == ITEMS
    assert status(cluster, namespace)["failed"] == 0
    cluster.kubectl("delete", "pq", "work", "-n", namespace, "--timeout=60s", seconds=70)
