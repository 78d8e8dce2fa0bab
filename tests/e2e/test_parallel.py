"""ParallelQueues by kubectl alone: the sample, no pod for an item, and a controller that goes away in the middle."""

import json
from typing import Any

import yaml

from tests.e2e.cluster import SYSTEM, Cluster
from tests.e2e.conftest import ROOT, model_server
from tests.e2e.test_cluster import quickstart
from tests.e2e.test_shrinking import stub
from tests.support.waiting import wait_until

SAMPLE = ROOT / "manifests" / "samples" / "parallel" / "cluster.yaml"
ITEMS = 60


def many_items(namespace: str) -> dict[str, Any]:
    """A ParallelQueue ``work`` whose items go through two steps each."""
    (work,) = (each for each in yaml.safe_load_all(SAMPLE.read_text()) if each["metadata"]["name"] == "capitals")
    steps = [{"name": step, "action": f"{step} {{{{ $item }}}}"} for step in ("first", "second")]
    spec = {**work["spec"], "items": list(range(ITEMS)), "inputsFrom": {}, "actionLoop": steps}
    return {**work, "metadata": {"name": "work", "namespace": namespace}, "spec": spec}


def items_done(cluster: Cluster, namespace: str) -> int:
    return int((cluster.get("pq", "work", "-n", namespace).get("status") or {}).get("completed", 0))


def test_the_sample_runs_and_one_goes_on_when_its_controller_goes(installed: Cluster, namespace: str) -> None:
    installed.apply(*model_server(namespace), *quickstart(namespace, scaleDownDelay="5s", scaleToZeroDelay="5s"))
    installed.kubectl("rollout", "status", "deployment/llm", "-n", namespace, "--timeout=120s", seconds=130)
    installed.apply(many_items(namespace))
    wait_until(lambda: items_done(installed, namespace) >= ITEMS // 4, "a quarter of the items", timeout=120)
    controllers = ("pods", "-l", "app.kubernetes.io/component=controller", "-n", SYSTEM)
    installed.kubectl("delete", *controllers, "--grace-period=0", "--force")
    installed.kubectl("apply", "-n", namespace, "-f", str(SAMPLE))
    installed.kubectl("wait", "--for=condition=Ended", "pq", "--all", "-n", namespace, "--timeout=180s", seconds=190)

    found = installed.get("pq", "-n", namespace)["items"]
    assert {pq["metadata"]["name"]: pq["status"]["phase"] for pq in found} == dict.fromkeys(
        ("capitals", "summary", "work"), "Completed"
    )
    assert items_done(installed, namespace) == ITEMS
    calls = stub(installed, namespace)["calls"]
    own = {prompt: count for prompt, count in calls.items() if prompt.startswith(("first ", "second "))}
    assert len(own) == 2 * ITEMS and set(own.values()) == {1}, "no step ran twice"
    pods = installed.get("pods", "-n", namespace)["items"]
    kinds = {pod["metadata"]["labels"].get("taskfleet.dev/pool", pod["metadata"]["labels"].get("app")) for pod in pods}
    assert kinds <= {"demo", "llm"}, "workers and the model server, and no pod for an item"
    lines = installed.taskfleet("parallel", "results", "capitals", "-q", "demo", "-n", namespace).splitlines()
    assert [json.loads(line)["item"]["name"] for line in lines] == ["France", "Japan", "Kenya"]
    installed.kubectl("delete", "pq", "--all", "-n", namespace, "--timeout=60s", seconds=70)
