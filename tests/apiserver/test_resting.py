"""Cheap and quick: nothing is written at rest, a submission is answered at once, every right is used."""

import statistics
import time
from pathlib import Path
from typing import Any

import yaml

from tests.apiserver.site import Site
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
USER = "system:serviceaccount:taskfleet-system:taskfleet-controller"
REST_SECONDS = 8.0
READS = {"get", "list", "watch"}


def writes_in(site: Site) -> list[dict[str, Any]]:
    events = site.server.audit(USER)
    mine = [event for event in events if event.get("objectRef", {}).get("namespace") == site.namespace]
    return [event for event in mine if event["verb"] not in READS]


def test_nothing_is_written_at_rest(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool(autoscaling={"minWorkers": 1, "maxWorkers": 5}))
    site.until(lambda: site.replicas() == 1, "the pool's least workers")
    site.set_ready(1)
    site.until(lambda: site.condition("WorkerPool", "Ready").get("status") == "True", "the pool to be ready")
    site.until(lambda: site.condition("TaskQueue", "Ready").get("status") == "True", "the queue to be ready")
    settle(site)

    before = writes_in(site)
    quiet_until = time.monotonic() + REST_SECONDS
    wait_until(lambda: len(writes_in(site)) > len(before) or time.monotonic() > quiet_until, "rest", timeout=60)

    assert writes_in(site)[len(before) :] == []


def settle(site: Site) -> None:
    """Wait until one second has passed without a write: what was begun is then written."""
    seen, since = -1, time.monotonic()

    def quiet() -> bool:
        nonlocal seen, since
        count = len(writes_in(site))
        if count != seen:
            seen, since = count, time.monotonic()
        return time.monotonic() - since > 1.0

    site.until(quiet, "the controller to come to rest")


def test_a_restart_without_changes_writes_each_object_once_at_most(site: Site) -> None:
    first = site.start_controller()
    site.apply(site.queue(), site.pool())
    site.until(lambda: site.condition("WorkerPool", "ScalingActive"), "the pool's status")
    settle(site)
    assert first.stop() == 0
    generation = site.deployment()["metadata"]["generation"]
    before = len(writes_in(site))

    site.start_controller()
    site.until(lambda: len(writes_in(site)) > before, "the first write after the restart")
    settle(site)

    again = [f"{event['verb']} {event['objectRef']['resource']}" for event in writes_in(site)[before:]]
    assert sorted(again) == ["patch deployments", "patch secrets"]
    assert site.deployment()["metadata"]["generation"] == generation


def test_a_submission_into_an_idle_queue_has_workers_within_a_second(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool())
    site.until(lambda: site.replicas() == 0, "a Deployment without workers")
    took = []
    for _ in range(5):
        began = time.monotonic()
        site.submit(1)
        site.until(lambda: site.replicas() == 1, "a worker")
        took.append(time.monotonic() - began)
        site.finish_all()
        site.until(lambda: site.replicas() == 0, "no workers again")
    print(f"from submit to replicas > 0: p50 {statistics.median(took):.3f} s, max {max(took):.3f} s")
    assert statistics.median(took) < 1.0


def test_the_controller_uses_every_right_that_it_is_given_and_misses_none(site: Site) -> None:
    controller = site.start_controller()
    site.apply(site.queue(), site.pool(endpoints=("one", "two")))
    site.until(lambda: len(site.list("Deployment")) == 2, "both Deployments")
    site.submit(2)
    site.until(lambda: (site.replicas() or 0) + (site.replicas("two") or 0) > 0, "workers")
    site.until(lambda: "list" in {verb for verb, what in used_by(site) if what == "pods"}, "a look at the pods")
    site.apply(site.pool(endpoints=("one",)))
    site.until(lambda: site.deployment("two") is None, "the other one to go")
    site.finish_all()
    use_an_hpa_and_shrink(site)
    run_a_parallel_queue(site)
    site.delete("WorkerPool")
    site.delete("TaskQueue")
    site.until(lambda: site.get("TaskQueue") is None, "the queue to be released")
    controller.stop()

    assert used_by(site) >= granted()
    assert not [event for event in site.server.audit(USER) if event.get("responseStatus", {}).get("code") == 403]


def use_an_hpa_and_shrink(site: Site) -> None:
    site.apply(site.pool(autoscaling={"mode": "HPA", "minWorkers": 2, "maxWorkers": 4}))
    site.until(lambda: site.replicas() == 2, "the pool's least workers, in mode HPA")
    site.apply(site.pool(autoscaling={"mode": "HPA", "minWorkers": 2, "maxWorkers": 3}))
    site.until(lambda: [hpa["spec"]["maxReplicas"] for hpa in site.list("HorizontalPodAutoscaler")] == [3], "its HPA")
    site.make_worker("busy")
    site.report("busy", 1)
    site.apply(site.pool(autoscaling={"mode": "External", "maxWorkers": 3}))
    site.until(lambda: not site.list("HorizontalPodAutoscaler"), "the end of the HPA, which might still write")
    site.apply(site.pool(autoscaling={"mode": "External", "maxWorkers": 3}, replicas=1))
    site.until(lambda: site.replicas() == 1, "one worker")


def run_a_parallel_queue(site: Site) -> None:
    site.apply(
        site.config_map("sources", text="no words"),
        site.parallel(
            "none",
            "{{ text.split() and [] }}",
            "ask",
            inputsFrom={"text": {"configMap": {"name": "sources", "key": "text"}}},
        ),
    )
    site.until(lambda: site.condition("ParallelQueue", "Ended", "none").get("status") == "True", "the run to end")


def used_by(site: Site) -> set[tuple[str, str]]:
    used = set()
    for event in site.server.audit(USER):
        reference = event.get("objectRef", {})
        if reference.get("namespace") == site.namespace:
            subresource = reference.get("subresource")
            used.add((event["verb"], reference["resource"] + (f"/{subresource}" if subresource else "")))
            if event["verb"] == "patch" and event["responseStatus"]["code"] == 201:
                used.add(("create", reference["resource"]))
    return used


def granted() -> set[tuple[str, str]]:
    documents = yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text())
    role = next(document for document in documents if document["kind"] == "ClusterRole")
    return {(verb, resource) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
