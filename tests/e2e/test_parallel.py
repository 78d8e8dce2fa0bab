"""ParallelQueues by kubectl alone: the sample, no pod for an item, and a controller that goes away in the middle."""

import json
from typing import Any

import yaml

from tests.e2e.cluster import SYSTEM, Cluster
from tests.e2e.conftest import ROOT, model_server
from tests.e2e.nodeside import node_side
from tests.e2e.test_cluster import quickstart
from tests.e2e.test_leading import leader
from tests.e2e.test_shrinking import stub
from tests.support.waiting import wait_until

SAMPLE = ROOT / "manifests" / "samples" / "parallel" / "cluster.yaml"
ITEMS = 60
SITES, PAGES, ENOUGH = 40, 8, 3


def many_items(namespace: str) -> dict[str, Any]:
    """A ParallelQueue ``work`` whose items go through two steps each."""
    (work,) = (each for each in yaml.safe_load_all(SAMPLE.read_text()) if each["metadata"]["name"] == "capitals")
    steps = [{"name": step, "action": f"{step} {{{{ $item }}}}"} for step in ("first", "second")]
    spec = {**work["spec"], "items": list(range(ITEMS)), "inputsFrom": {}, "actionLoop": steps}
    return {**work, "metadata": {"name": "work", "namespace": namespace}, "spec": spec}


def loops_that_end_themselves(namespace: str) -> dict[str, Any]:
    """A ParallelQueue ``work`` whose items have a loop inside, over more pages than it goes to."""
    work = many_items(namespace)
    page = {"name": "page", "action": "page {{ $item }} of {{ $site }}"}
    pages = {"name": "pages", "items": list(range(PAGES)), "actionLoop": [page]}
    pages["until"] = f"{{{{ $completed >= {ENOUGH} }}}}"
    last = {"name": "last", "action": "{{ pages.completed }} pages of {{ $site }}"}
    work["spec"] |= {"items": list(range(SITES)), "as": "site", "actionLoop": [pages, last]}
    return work


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


def test_loops_inside_end_themselves_also_under_another_controller_than_began_them(
    installed: Cluster, namespace: str
) -> None:
    with node_side(installed) as node:
        installed.apply(*quickstart(namespace), loops_that_end_themselves(namespace))
        wait_until(lambda: items_done(installed, namespace) >= SITES // 4, "a quarter of the items", timeout=120)
        node.kill(leader(installed))
    open_items = SITES - items_done(installed, namespace)
    installed.kubectl("wait", "--for=condition=Ended", "pq/work", "-n", namespace, "--timeout=180s", seconds=190)

    lines = installed.taskfleet("parallel", "results", "work", "-q", "demo", "-n", namespace).splitlines()
    found = [json.loads(line)["steps"] for line in lines]
    print(f"\nthe controller killed with {open_items} of {SITES} items with loops inside open")
    assert open_items > 0
    assert [(each["pages"]["ok"], each["pages"]["completed"]) for each in found] == [(True, ENOUGH)] * SITES
    told = {f"page {page} of {site}" for page in range(ENOUGH) for site in range(SITES)}
    told |= {f"{ENOUGH} pages of {site}" for site in range(SITES)}
    assert stub(installed, namespace)["calls"] == dict.fromkeys(told, 1), "nothing twice, and nothing beyond the end"
    installed.kubectl("delete", "pq", "work", "-n", namespace, "--timeout=60s", seconds=70)
