"""The main job on a real cluster, with what an outsider sees of it. Figures are printed (``make e2e``)."""

import asyncio
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import yaml

from taskfleet.core.names import deployment_name
from taskfleet.core.task import NewTask, QueueKey, new_task_id
from taskfleet.store import Store
from tests.e2e.cluster import Cluster
from tests.support.waiting import eventually, wait_until

QUICKSTART = Path(__file__).parents[2] / "manifests" / "quickstart"
POOL, ENDPOINT, MODEL = "demo", "local-llm", "smollm2"
DEPLOYMENT = deployment_name(POOL, ENDPOINT)
# Without whatever else the folder holds: the model server here is a stub.
MANIFESTS = (QUICKSTART / "taskqueue.yaml", QUICKSTART / "workerpool.yaml")
APPLIED = [argument for path in MANIFESTS for argument in ("-f", str(path))]
TRIES = int(os.environ.get("TASKFLEET_E2E_TRIES", "20"))


def task_lines(count: int) -> str:
    return "".join(f'{{"id": "t{number:04}", "prompt": "question {number}"}}\n' for number in range(count))


def quickstart(namespace: str, **scaling: str) -> list[dict[str, Any]]:
    """The manifests of the quickstart in a namespace, with other delays."""
    objects = [yaml.safe_load(path.read_text()) for path in MANIFESTS]
    for obj in objects:
        obj["metadata"]["namespace"] = namespace
        if obj["kind"] == "WorkerPool":
            obj["spec"]["autoscaling"].update(scaling)
    return objects


def replicas(cluster: Cluster, namespace: str) -> int:
    found = cluster.get("deployment", DEPLOYMENT, "-n", namespace)
    return -1 if found is None else int(found["spec"]["replicas"])


def test_the_quickstart_does_a_hundred_tasks_and_goes_back_to_no_workers(installed: Cluster, namespace: str) -> None:
    installed.kubectl("apply", "-n", namespace, *APPLIED)
    installed.kubectl("wait", "--for=condition=Ready", "tq/demo", "-n", namespace, "--timeout=30s")
    wait_until(lambda: replicas(installed, namespace) == 0, "a Deployment without workers", timeout=30)

    began = time.monotonic()
    printed = installed.taskfleet(
        "submit", "demo", "-n", namespace, "-f", "-", "--wait", "-o", "json", stdin=task_lines(100), seconds=300
    )
    took = time.monotonic() - began

    queue = installed.get("tq", "demo", "-n", namespace)["status"]
    print(f"\n100 tasks from submit to last result: {took:.1f} s")
    print(printed[-600:])
    print(installed.kubectl("get", "tq,wp,deployments,pods", "-n", namespace))
    wait_until(lambda: installed.get("tq", "demo", "-n", namespace)["status"]["completed"] == 100, "the queue's count")
    assert queue["failed"] == 0
    busy = time.monotonic()
    wait_until(lambda: replicas(installed, namespace) == 0, "no workers after the delay", timeout=60)
    print(f"back to zero {time.monotonic() - busy:.1f} s after the last result")
    print(installed.kubectl("get", "tq,wp", "-n", namespace))
    print(installed.kubectl("describe", "wp", "demo", "-n", namespace))
    described = installed.kubectl("describe", "wp", "demo", "-n", namespace)
    assert "ScaledUp" in described
    assert "ScaledDown" in described


def test_an_enqueue_has_workers_within_a_second(installed: Cluster, namespace: str) -> None:
    installed.apply(*quickstart(namespace, scaleDownDelay="1s", scaleToZeroDelay="1s"))
    installed.kubectl("wait", "--for=condition=Ready", "tq/demo", "-n", namespace, "--timeout=30s")
    wait_until(lambda: replicas(installed, namespace) == 0, "a Deployment without workers", timeout=30)
    key = QueueKey(namespace, "demo")
    took: list[float] = []
    until_scheduled: list[float] = []

    def no_workers_left() -> bool:
        return installed.get("pods", "-n", namespace, "-l", f"taskfleet.dev/pool={POOL}") is None

    async def submit_when_idle(url: str) -> None:
        store = await Store.connect(url)
        workers = ("pods", "-l", f"taskfleet.dev/pool={POOL}", "-n", namespace)
        try:
            with (
                installed.watch("deployment", DEPLOYMENT, "-n", namespace, shows="{.spec.replicas}") as replicas_seen,
                installed.watch(*workers, shows="{.metadata.name} {.spec.nodeName}") as pods_seen,
            ):
                known: set[str] = set()

                def is_new_on_a_node(line: str) -> bool:
                    pod, _, node = line.partition(" ")
                    is_new = bool(node) and pod not in known
                    known.update([pod] if node else [])
                    return is_new

                def none(line: str) -> bool:
                    return line in ("", "0")

                await asyncio.to_thread(replicas_seen.wait_for, none, "no workers", timeout=60)
                for number in range(TRIES):
                    task = NewTask(new_task_id(), MODEL, json.dumps(body(number)).encode())
                    began = time.monotonic()
                    await store.submit(key, [task])
                    some = await asyncio.to_thread(
                        replicas_seen.wait_for, lambda line: not none(line), "workers", timeout=30
                    )
                    took.append(some - began)
                    scheduled = await asyncio.to_thread(
                        pods_seen.wait_for, is_new_on_a_node, "a new pod on a node", timeout=30
                    )
                    until_scheduled.append(scheduled - began)
                    await asyncio.to_thread(replicas_seen.wait_for, none, "no workers again", timeout=90)
                    # A worker that is only just going could still take the next task, and rightly so.
                    await eventually(no_workers_left, "the last worker to be gone", timeout=60)
        finally:
            await store.close()

    installed.kubectl("wait", "--for=condition=EndpointsHealthy", "wp/demo", "-n", namespace, "--timeout=60s")
    with installed.port_forward("service/taskfleet-valkey", 6379) as port:
        try:
            asyncio.run(submit_when_idle(f"valkey://:{installed.password()}@127.0.0.1:{port}"))
        except AssertionError as error:
            shown = installed.kubectl("get", "tq,wp,deployments,pods", "-n", namespace, "-o", "wide")
            raise AssertionError(f"try {len(took) + 1}: {error}\n{shown}") from None

    for what, seconds in (("replicas > 0", took), ("a pod scheduled", until_scheduled)):
        p50, worst = statistics.median(seconds), max(seconds)
        print(f"\nfrom enqueue to {what} over {TRIES} tries: p50 {p50 * 1000:.0f} ms, max {worst * 1000:.0f} ms")
    assert max(took) < 1.0


def body(number: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": f"try {number}"}], "parameters": {}, "metadata": {}}


def test_a_killed_worker_loses_no_task_and_does_none_twice(installed: Cluster, namespace: str) -> None:
    installed.kubectl("apply", "-n", namespace, *APPLIED)
    installed.kubectl("wait", "--for=condition=Ready", "tq/demo", "-n", namespace, "--timeout=30s")
    installed.taskfleet("submit", "demo", "-n", namespace, "-f", "-", stdin=task_lines(200))

    def running() -> list[str]:
        pods = installed.get("pods", "-n", namespace, "-l", f"taskfleet.dev/pool={POOL}") or {"items": []}
        ready = [pod for pod in pods["items"] if pod["status"].get("containerStatuses", [{}])[0].get("ready")]
        return [pod["metadata"]["name"] for pod in ready]

    try:
        victim = wait_until(running, "a worker that works", timeout=120)[0]
    except AssertionError as error:
        shown = installed.kubectl("get", "tq,wp,deployments,pods", "-n", namespace, "-o", "wide")
        raise AssertionError(f"{error}\n{shown}") from None
    wait_until(lambda: status(installed, namespace).get("completed", 0) > 5, "the first results", timeout=60)
    installed.kubectl("delete", "pod", victim, "-n", namespace, "--force", "--grace-period=0")

    def all_done() -> bool:
        return status(installed, namespace).get("completed") == 200

    wait_until(all_done, "every task to be completed", timeout=180)
    assert status(installed, namespace)["failed"] == 0


def status(cluster: Cluster, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("tq", "demo", "-n", namespace).get("status", {})
    return found


def test_what_keeps_workers_from_coming_up_is_told_in_words_and_the_secret_may_come_last(
    installed: Cluster, namespace: str
) -> None:
    queue, pool = quickstart(namespace)
    pool["spec"]["autoscaling"]["minWorkers"] = 1
    pool["spec"]["endpoints"][0]["apiKeySecretRef"] = {"name": "llm-key", "key": "token"}
    installed.apply(queue, pool)

    def told() -> str:
        return json.dumps((installed.get("wp", "demo", "-n", namespace) or {}).get("status", {}))

    wait_until(lambda: 'secret \\"llm-key\\" not found' in told(), "the missing Secret to be named", timeout=60)
    print(installed.kubectl("get", "wp", "-n", namespace))
    installed.kubectl("create", "secret", "generic", "llm-key", "--from-literal=token=x", "-n", namespace)
    installed.kubectl(
        "wait", "--for=jsonpath={.status.readyReplicas}=1", "wp/demo", "-n", namespace, "--timeout=120s", seconds=130
    )

    pool["spec"]["workerTemplate"] = {"image": "example.invalid/none:1"}
    installed.apply(pool)
    wait_until(lambda: "ImagePull" in told(), "the image that cannot be pulled", timeout=90)
    print(installed.kubectl("get", "wp", "-n", namespace))
