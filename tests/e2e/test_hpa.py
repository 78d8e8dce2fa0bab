"""A real HPA on a real cluster: from zero to many and back, through all modes in mid-work; whoever writes /scale."""

import time
from typing import Any

import pytest
import yaml

from taskfleet.core.names import FIELD_MANAGER, autoscaler_name, deployment_name
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import ROOT, model_server
from tests.e2e.release import Release
from tests.e2e.test_cluster import task_lines
from tests.e2e.test_shrinking import stub
from tests.support.waiting import wait_until

POOL = "hpa"
DEPLOYMENT = deployment_name(POOL, "local-llm")


@pytest.fixture
def with_metrics(release: Release, installed: Cluster) -> Any:
    """The release with the metrics API, for one test."""
    release.upgrade(externalMetrics={"enabled": True})
    available = "--for=condition=Available"
    installed.kubectl("wait", available, "apiservice/v1beta1.external.metrics.k8s.io", "--timeout=60s", seconds=70)
    yield installed
    release.upgrade()
    assert not installed.get("apiservice", "v1beta1.external.metrics.k8s.io")


def sample(namespace: str, name: str) -> list[dict[str, Any]]:
    objects = list(yaml.safe_load_all((ROOT / "manifests" / "samples" / f"{name}.yaml").read_text()))
    for each in objects:
        each["metadata"]["namespace"] = namespace
    return objects


def quick_sample(namespace: str) -> list[dict[str, Any]]:
    objects = sample(namespace, "hpa")
    # One worker for four tasks, and short delays.
    objects[1]["spec"]["autoscaling"] = {
        "mode": "HPA",
        "maxWorkers": 6,
        "targetBacklogPerWorker": 4,
        "scaleDownDelay": "5s",
        "scaleToZeroDelay": "10s",
    }
    return objects


def replicas(cluster: Cluster, namespace: str, deployment: str = DEPLOYMENT) -> int:
    found = cluster.get("deployment", deployment, "-n", namespace)
    return -1 if found is None else int(found["spec"]["replicas"])


def switch(cluster: Cluster, namespace: str, mode: str) -> None:
    patch = f'{{"spec": {{"autoscaling": {{"mode": "{mode}"}}}}}}'
    cluster.kubectl("patch", "wp", POOL, "--type=merge", "-p", patch, "-n", namespace)


def test_an_hpa_takes_a_pool_up_and_down_and_modes_change_under_load_without_a_lost_call(
    with_metrics: Cluster, namespace: str
) -> None:
    cluster = with_metrics
    cluster.apply(*model_server(namespace, latency=2), *quick_sample(namespace))
    cluster.kubectl("rollout", "status", "deployment/llm", "-n", namespace, "--timeout=120s", seconds=130)
    wait_until(lambda: replicas(cluster, namespace) == 0, "a Deployment without workers", timeout=30)

    began = time.monotonic()
    cluster.taskfleet("submit", POOL, "-n", namespace, "-f", "-", "--batch", "b", stdin=task_lines(300))
    wait_until(lambda: replicas(cluster, namespace) == 1, "the controller to wake the pool", timeout=15)
    woken = time.monotonic() - began
    wait_until(lambda: replicas(cluster, namespace) == 6, "the HPA to go to the maximum", timeout=90)
    print(
        f"\nwoken after {woken:.1f} s (submit included), six workers by the HPA after {time.monotonic() - began:.1f} s"
    )
    print(cluster.kubectl("get", "wp,hpa,deployments", "-n", namespace))
    print(cluster.kubectl("describe", "wp", POOL, "-n", namespace))

    for mode in ("External", "Operator", "HPA"):
        switch(cluster, namespace, mode)
        reason = {"External": "External", "Operator": "FollowsQueue", "HPA": "FollowsHPA"}[mode]
        told = ("wait", f"--for=jsonpath={{.status.conditions[?(@.type=='ScalingActive')].reason}}={reason}")
        cluster.kubectl(*told, f"wp/{POOL}", "-n", namespace, "--timeout=60s", seconds=70)
        there = cluster.get("hpa", autoscaler_name(POOL), "-n", namespace)
        assert (there is not None) == (mode == "HPA")

    def ended() -> bool:
        return bool(cluster.get("tq", POOL, "-n", namespace)["status"]["completed"] == 300)

    wait_until(ended, "all tasks", timeout=300)
    wait_until(lambda: replicas(cluster, namespace) == 0, "no workers again", timeout=90)
    seen = stub(cluster, namespace)
    assert (seen["hung_up"], set(seen["calls"].values())) == (0, {1})
    cluster.kubectl("delete", "wp", POOL, "-n", namespace)

    def nothing_left() -> bool:
        left = cluster.get("hpa,deployments", "-l", f"taskfleet.dev/pool={POOL}", "-n", namespace)
        return not left or not left["items"]

    wait_until(nothing_left, "nothing of the pool to be left", timeout=60)


def test_in_mode_external_others_write_the_number_and_the_controller_only_follows(
    installed: Cluster, namespace: str
) -> None:
    cluster, pool, most, tasks = installed, "keda", 4, 100
    queue, workers, _scaled_object = sample(namespace, pool)
    workers["spec"]["autoscaling"] = {"mode": "External", "maxWorkers": most, "targetBacklogPerWorker": 4}
    cluster.apply(*model_server(namespace, latency=2), queue, workers)
    cluster.kubectl("rollout", "status", "deployment/llm", "-n", namespace, "--timeout=120s", seconds=130)
    deployment = deployment_name(pool, "local-llm")

    def scale(number: int) -> None:
        """As KEDA does: through /scale."""
        cluster.kubectl("scale", f"wp/{pool}", f"--replicas={number}", "-n", namespace)
        wait_until(lambda: replicas(cluster, namespace, deployment) == number, f"{number} workers", timeout=30)

    scale(0)
    cluster.taskfleet("submit", pool, "-n", namespace, "-f", "-", stdin=task_lines(tasks))
    scale(1)
    scale(most)
    pool_now = cluster.get("wp", pool, "-n", namespace, "--show-managed-fields")
    told = {each["type"]: each for each in pool_now["status"]["conditions"]}
    assert told["ScalingActive"]["reason"] == "External"
    assert told.get("ScalingDisputed", {}).get("status") != "True", told
    fields = pool_now["metadata"]["managedFields"]
    writers = {each["manager"] for each in fields if "f:replicas" in each["fieldsV1"].get("f:spec", {})}
    assert writers
    assert FIELD_MANAGER not in writers

    def ended() -> bool:
        return bool(cluster.get("tq", pool, "-n", namespace)["status"]["completed"] == tasks)

    wait_until(ended, "all tasks", timeout=240)
    scale(0)
    seen = stub(cluster, namespace)
    assert (seen["hung_up"], set(seen["calls"].values())) == (0, {1})
