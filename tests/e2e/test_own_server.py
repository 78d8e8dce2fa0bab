"""A model server in the pool, with a real small model: 0 to N and back with the queue, and its death costs no attempt.

``TASKFLEET_E2E_MODEL_IMAGE`` names the image, which tests/e2e/smollm2.Dockerfile builds.
"""

import json
import os
import time
from typing import Any

import pytest

from taskfleet.core.names import deployment_name
from tests.e2e.cluster import Cluster
from tests.e2e.nodeside import node_side
from tests.support.waiting import wait_until

IMAGE = os.environ.get("TASKFLEET_E2E_MODEL_IMAGE", "")
NAME, ENDPOINT, TASKS = "own", "smollm2", 8
SERVER = "model_server"  # in the command of the server, and not in the worker's


def objects(namespace: str) -> list[dict[str, Any]]:
    head = {"apiVersion": "taskfleet.dev/v1alpha1", "metadata": {"name": NAME, "namespace": namespace}}
    resources = {"requests": {"cpu": "200m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
    server = {"image": IMAGE, "port": 8080, "resources": resources, "startupTimeout": "3m"}
    endpoint = {"name": ENDPOINT, "models": ["smollm2"], "concurrency": 4, "maxWorkers": 2, "server": server}
    scaling = {"maxWorkers": 2, "scaleDownDelay": "5s", "scaleToZeroDelay": "5s"}
    spec = {"queueRef": {"name": NAME}, "endpoints": [endpoint], "autoscaling": scaling}
    return [
        {**head, "kind": "TaskQueue", "spec": {"models": [{"name": "smollm2"}], "defaultModel": "smollm2"}},
        {**head, "kind": "WorkerPool", "spec": spec},
    ]


def lines() -> str:
    task = {"prompt": "Tell a long story about a lighthouse.", "parameters": {"max_tokens": 60}}
    return "".join(json.dumps(task | {"id": f"t{number}"}) + "\n" for number in range(TASKS))


def test_the_model_comes_with_the_work_goes_with_it_and_may_die_on_the_way(installed: Cluster, namespace: str) -> None:
    if not IMAGE:
        pytest.skip("NO MODEL IMAGE: TASKFLEET_E2E_MODEL_IMAGE is to name one of tests/e2e/smollm2.Dockerfile")
    cluster = installed
    cluster.apply(*objects(namespace))
    cluster.kubectl("wait", "--for=condition=Ready", f"tq/{NAME}", "-n", namespace, "--timeout=30s")

    def pods() -> list[dict[str, Any]]:
        found = cluster.get("pods", "-l", f"taskfleet.dev/pool={NAME}", "-n", namespace)
        return list(found["items"]) if found else []

    def ready() -> list[dict[str, Any]]:
        return [pod for pod in pods() if any(each["ready"] for each in pod["status"].get("containerStatuses", []))]

    def replicas() -> int:
        return int(cluster.get("deployment", deployment_name(NAME, ENDPOINT), "-n", namespace)["spec"]["replicas"])

    def status() -> dict[str, Any]:
        return dict(cluster.get("tq", NAME, "-n", namespace)["status"])

    wait_until(lambda: replicas() == 0, "a Deployment without workers", timeout=30)
    began = time.monotonic()
    cluster.taskfleet("submit", NAME, "-n", namespace, "-f", "-", "--batch", "b", stdin=lines())
    wait_until(lambda: status()["running"] > 0, "a first call", timeout=180)
    first = time.monotonic() - began
    with node_side(cluster) as node:
        working = wait_until(
            ready, "a worker that the kubelet knows to be ready", timeout=30
        )  # it may work before that
        node.kill(working[0]["metadata"]["name"], SERVER)
        wait_until(lambda: status()["completed"] == TASKS, "all tasks", timeout=300)
    print(cluster.kubectl("get", "wp", NAME, "-n", namespace, "-o", "jsonpath={.status.endpoints}"))
    results = cluster.taskfleet("result", "-n", namespace, "-q", NAME, "--batch", "b", "-o", "json").splitlines()
    answers = [json.loads(line) for line in results]
    print(f"\na call ran {first:.1f} s after the submission, from nothing; one answer: {answers[0]['output'][:120]!r}")
    assert [each["attempts"] for each in answers] == [1] * TASKS, "a server that died costs no attempt"
    assert all(len(each["output"]) > 20 for each in answers)
    wait_until(lambda: not pods(), "no server and no worker", timeout=90)
