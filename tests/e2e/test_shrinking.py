"""Nobody's call is killed because workers go: by scale-down, by a rollout, by an eviction. Figures are printed.

``TASKFLEET_E2E_TASKS`` makes the story longer (2,000 are that of docs/guides/autoscaling.md); a call takes 5 seconds.
"""

import asyncio
import json
import os
import time
from typing import Any

from taskfleet.core.names import deployment_name
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import model_server
from tests.e2e.test_cluster import task_lines
from tests.support.waiting import eventually, wait_until

TASKS = int(os.environ.get("TASKFLEET_E2E_TASKS", "320"))
SECONDS, WORKERS, AT_ONCE = 5, 10, 16
COST = "controller.kubernetes.io/pod-deletion-cost"
ASK_STUB = "import urllib.request; print(urllib.request.urlopen('http://localhost:8080/stub/calls').read().decode())"


def objects(namespace: str, replicas: int) -> list[dict[str, Any]]:
    endpoint = {"name": "llm", "url": "http://llm:8080/v1", "models": ["smollm2"], "concurrency": AT_ONCE}
    spec = {
        "queueRef": {"name": "demo"},
        "endpoints": [{**endpoint, "maxWorkers": WORKERS}],
        "autoscaling": {"mode": "External", "maxWorkers": WORKERS},
        "replicas": replicas,
    }
    meta = {"name": "demo", "namespace": namespace}
    head = {"apiVersion": "taskfleet.dev/v1alpha1", "metadata": meta}
    queue = {**head, "kind": "TaskQueue", "spec": {"models": [{"name": "smollm2"}], "defaultModel": "smollm2"}}
    return [queue, {**head, "kind": "WorkerPool", "spec": spec}]


def stub(cluster: Cluster, namespace: str, *, server: str = "deployment/llm") -> dict[str, Any]:
    """What the model server has seen: its calls by prompt, those that it answered, and those that were hung up."""
    return json.loads(cluster.kubectl("exec", "-n", namespace, server, "--", "python", "-c", ASK_STUB))


def pods(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    """The workers that are not on their way out."""
    return [pod for pod in everybody(cluster, namespace) if not pod["metadata"].get("deletionTimestamp")]


def ready(cluster: Cluster, namespace: str) -> int:
    return int((cluster.get("wp", "demo", "-n", namespace).get("status") or {}).get("readyReplicas", 0))


def start(cluster: Cluster, namespace: str, *, latency: float = SECONDS) -> None:
    cluster.apply(*model_server(namespace, latency=latency), *objects(namespace, WORKERS))
    cluster.kubectl("rollout", "status", "deployment/llm", "-n", namespace, "--timeout=120s", seconds=130)
    servers = ("pods", "-l", "app=llm", "-n", namespace)
    wait_until(lambda: len(cluster.get(*servers)["items"]) == 1, "the model server of before to be gone", timeout=60)
    wait_until(lambda: ready(cluster, namespace) == WORKERS, f"{WORKERS} ready workers", timeout=240)


def test_no_call_is_cut_and_none_is_made_twice_when_workers_go(installed: Cluster, namespace: str) -> None:
    start(installed, namespace)
    lines = task_lines(TASKS)
    began = time.monotonic()
    installed.taskfleet("submit", "demo", "-n", namespace, "-f", "-", "--batch", "story", stdin=lines)

    def ended() -> int:
        return int(installed.get("tq", "demo", "-n", namespace)["status"]["completed"])

    wait_until(lambda: ended() >= TASKS // 2, "half of the tasks", timeout=30 + TASKS)
    busy = stub(installed, namespace)["inflight"]
    installed.kubectl("scale", "wp", "demo", "--replicas=1", "-n", namespace)
    scaled = time.monotonic()
    wait_until(lambda: len(everybody(installed, namespace)) == 1, "nine workers to have ended", timeout=90)
    drained = time.monotonic() - scaled
    left = TASKS - ended()

    installed.kubectl("rollout", "restart", f"deployment/{deployment_name('demo', 'llm')}", "-n", namespace)
    wait_until(lambda: left == 0 or ended() >= TASKS - left // 2, "the rest to go on", timeout=30 + 2 * TASKS)
    (pod, *_) = pods(installed, namespace)
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    installed.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    wait_until(lambda: ended() == TASKS, "all tasks", timeout=60 + 2 * TASKS)

    seen = stub(installed, namespace)
    results = installed.taskfleet("result", "-n", namespace, "-q", "demo", "--batch", "story", "-o", "json")
    attempts = [json.loads(line)["attempts"] for line in results.splitlines()]
    print(
        f"\n{TASKS} calls of {SECONDS} s, {WORKERS} workers to 1 with {busy} calls running, a rollout and an eviction: "
        f"{seen['hung_up']} cut, {sum(seen['calls'].values()) - TASKS} made again; the nine had ended after "
        f"{drained:.1f} s, all was done after {time.monotonic() - began:.0f} s"
    )
    assert busy > AT_ONCE, "there must have been calls to lose"
    assert seen["hung_up"] == 0
    assert set(seen["calls"].values()) == {1} and len(seen["calls"]) == TASKS
    assert attempts == [1] * TASKS


def test_of_workers_that_go_those_that_run_the_least_go_first(installed: Cluster, namespace: str) -> None:
    start(installed, namespace, latency=30)
    tasks = 2 * AT_ONCE
    installed.taskfleet("submit", "demo", "-n", namespace, "-f", "-", "--batch", "few", stdin=task_lines(tasks))

    async def reported(url: str) -> None:
        store = await Store.connect(url)

        async def all_of_them() -> bool:
            return sum(report.inflight for report in await store.workers(QueueKey(namespace, "demo"))) == tasks

        try:
            await eventually(all_of_them, "the workers to report all of their calls", timeout=25)
        finally:
            await store.close()

    with installed.port_forward("service/taskfleet-valkey", 6379) as port:
        asyncio.run(reported(f"valkey://:{installed.password()}@127.0.0.1:{port}"))
    installed.kubectl("scale", "wp", "demo", "--replicas=5", "-n", namespace)
    wait_until(lambda: len(pods(installed, namespace)) == 5, "five workers to be told to go", timeout=30)

    costs: dict[bool, list[int]] = {True: [], False: []}
    for pod in everybody(installed, namespace):
        going = bool(pod["metadata"].get("deletionTimestamp"))
        costs[going].append(int(pod["metadata"]["annotations"].get(COST, "0")))
    print(f"\ncalls of the workers that stay: {sorted(costs[False])}, of those that go: {sorted(costs[True])}")
    assert max(costs[True], default=0) <= min(costs[False])
    assert sum(costs[False]) > 0
    wait_until(lambda: stub(installed, namespace)["inflight"] == 0, "the calls to end", timeout=90)
    assert stub(installed, namespace)["hung_up"] == 0


def everybody(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    """The workers, those on their way out too."""
    found = cluster.get("pods", "-l", "taskfleet.dev/pool=demo", "-n", namespace)
    return list(found["items"]) if found else []


def started(cluster: Cluster, namespace: str) -> int:
    """How many workers have a container that runs, whether it is ready or not."""
    states = [
        each["state"] for pod in everybody(cluster, namespace) for each in pod["status"].get("containerStatuses", [])
    ]
    return sum("running" in state for state in states)


def test_workers_that_are_told_to_go_as_they_start_go(installed: Cluster, namespace: str) -> None:
    """They do not work on, deaf, until they are killed at the end of their grace period, after minutes."""
    installed.apply(*objects(namespace, 0))
    installed.kubectl("wait", "--for=condition=Ready", "tq/demo", "-n", namespace, "--timeout=30s")
    gone: list[str] = []
    for some in (1, 3, 5, 7):
        installed.kubectl("scale", "wp", "demo", f"--replicas={WORKERS}", "-n", namespace)
        wait_until(lambda some=some: started(installed, namespace) >= some, f"{some} workers to start", timeout=90)
        installed.kubectl("scale", "wp", "demo", "--replicas=0", "-n", namespace)
        told = time.monotonic()
        wait_until(lambda: not everybody(installed, namespace), "all of them to be gone", timeout=60)
        gone.append(f"{time.monotonic() - told:.0f}")
    print(f"\n{WORKERS} workers that were told to go as they started: all gone after {', '.join(gone)} s")
