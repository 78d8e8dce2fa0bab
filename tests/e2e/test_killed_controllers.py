"""A controller that is killed again and again under load, in all three ways of scaling: nothing lost, nothing twice.

``TASKFLEET_E2E_MINUTES`` says for how long; every 20 seconds the one that leads gets SIGKILL.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from taskfleet.core.task import NewTask, QueueKey
from taskfleet.store import Store
from tests.e2e.cluster import SYSTEM, Cluster
from tests.e2e.nodeside import NodeSide, node_side
from tests.e2e.release import Release
from tests.e2e.test_leading import CONTROLLERS, leader, standing
from tests.e2e.test_shrinking import stub
from tests.support.waiting import wait_until

MINUTES = float(os.environ.get("TASKFLEET_E2E_MINUTES", "1"))
EVERY_SECONDS, BURST_SECONDS = 20.0, 10.0
BURST = 30
MODES = ("Operator", "HPA", "External")


@pytest.fixture
def all_modes(release: Release, installed: Cluster) -> Iterator[Cluster]:
    release.upgrade(controller={"replicas": 2}, externalMetrics={"enabled": True})
    wait_until(lambda: len(standing(installed)) == 2, "two controllers that are ready", timeout=60)
    yield installed
    release.upgrade()


def objects(namespace: str, mode: str) -> list[dict[str, Any]]:
    name = mode.lower()
    head = {"apiVersion": "taskfleet.dev/v1alpha1", "metadata": {"name": name, "namespace": namespace}}
    endpoint = {"name": "llm", "url": "http://llm:8080/v1", "models": ["smollm2"], "concurrency": 4, "maxWorkers": 3}
    scaling = {"mode": mode, "maxWorkers": 3, "targetBacklogPerWorker": 8}
    delays = {} if mode == "External" else {"scaleDownDelay": "2s", "scaleToZeroDelay": "3s"}
    spec: dict[str, Any] = {"queueRef": {"name": name}, "endpoints": [endpoint], "autoscaling": scaling | delays}
    if mode == "External":
        spec["replicas"] = 1
    return [
        {**head, "kind": "TaskQueue", "spec": {"models": [{"name": "smollm2"}], "defaultModel": "smollm2"}},
        {**head, "kind": "WorkerPool", "spec": spec},
    ]


def kill_leader(cluster: Cluster, node: NodeSide) -> None:
    """SIGKILL, and a fresh pod in its place: the old one would be started later and later each time."""
    pods = cluster.get("pods", "-l", CONTROLLERS, "-n", SYSTEM)["items"]
    names = [pod["metadata"]["name"] for pod in pods]
    first = leader(cluster)
    victim = first if first in names else next(iter(standing(cluster)), "")
    if victim:
        node.kill(victim)
        cluster.kubectl("delete", "pod", victim, "-n", SYSTEM, "--force", "--grace-period=0")


def body(prompt: str) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": prompt}], "parameters": {}, "metadata": {}}).encode()


async def submit(url: str, namespace: str, number: int) -> None:
    store = await Store.connect(url)
    try:
        for mode in MODES:
            named = {f"{mode.lower()}-{number}-{each}": body(f"{mode} {number} {each}") for each in range(BURST)}
            tasks = [NewTask(name, "smollm2", said) for name, said in named.items()]
            await store.submit(QueueKey(namespace, mode.lower()), tasks)
    finally:
        await store.close()


def test_controllers_killed_every_20_seconds_lose_no_task_and_have_none_called_twice(
    all_modes: Cluster, namespace: str
) -> None:
    cluster = all_modes
    cluster.apply(*(each for mode in MODES for each in objects(namespace, mode)))
    for mode in MODES:
        cluster.kubectl("wait", "--for=condition=Ready", f"tq/{mode.lower()}", "-n", namespace, "--timeout=60s")
    bursts = kills = 0
    ends = time.monotonic() + 60 * MINUTES
    next_kill, next_burst = time.monotonic() + EVERY_SECONDS, time.monotonic()
    with node_side(cluster) as node, cluster.port_forward("service/taskfleet-valkey", 6379) as port:
        url = f"valkey://:{cluster.password()}@127.0.0.1:{port}"
        while time.monotonic() < ends:
            due = min(next_kill, next_burst)
            wait_until(lambda due=due: time.monotonic() >= due, "the next step", timeout=60)
            if next_burst <= next_kill:
                asyncio.run(submit(url, namespace, bursts))
                bursts, next_burst = bursts + 1, next_burst + BURST_SECONDS
            else:
                kill_leader(cluster, node)
                kills, next_kill = kills + 1, next_kill + EVERY_SECONDS

    def completed() -> dict[str, int]:
        return {
            mode: (cluster.get("tq", mode.lower(), "-n", namespace).get("status") or {}).get("completed", 0)
            for mode in MODES
        }

    wait_until(
        lambda: completed() == dict.fromkeys(MODES, bursts * BURST),
        f"{bursts * BURST} results in each mode, after {completed()}",
        timeout=240,
    )
    seen = stub(cluster, namespace)
    twice = {prompt: count for prompt, count in seen["calls"].items() if count != 1}
    print(
        f"\n{kills} kills of the leading controller in {MINUTES:g} minutes, {3 * bursts * BURST} tasks in three modes: "
        f"{3 * bursts * BURST - len(seen['calls'])} lost, {len(twice)} called twice, {seen['hung_up']} cut"
    )
    assert kills > 1
    assert len(seen["calls"]) == 3 * bursts * BURST
    assert (twice, seen["hung_up"]) == ({}, 0)
