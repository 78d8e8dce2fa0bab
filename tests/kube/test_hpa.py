"""HPAs as plain objects: what we want of ours, what it says, and who else scales."""

import copy
from typing import Any

import pytest

from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.cluster.hpa import holds, pool_autoscaler, second_autoscaler, trouble_of
from taskfleet.controller.cluster.writers import TOLD_SECONDS, Overwritings

ENDPOINT = {"name": "llm", "url": "http://llm:8080/v1", "models": ["small"]}


def pool(**autoscaling: Any) -> WorkerPool:
    spec = {"queueRef": {"name": "demo"}, "endpoints": [ENDPOINT], "autoscaling": {"mode": "HPA", **autoscaling}}
    meta = {"name": "demo", "namespace": "team", "uid": "u1", "generation": 1}
    return WorkerPool.model_validate(
        {"apiVersion": "taskfleet.dev/v1alpha1", "kind": "WorkerPool", "metadata": meta, "spec": spec}
    )


def hpa(name: str, kind: str, target: str, *, namespace: str = "team", **labels: str) -> dict[str, Any]:
    version = "apps/v1" if kind == "Deployment" else "taskfleet.dev/v1alpha1"
    reference = {"apiVersion": version, "kind": kind, "name": target}
    meta = {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "1", "labels": labels}
    return {"metadata": meta, "spec": {"scaleTargetRef": reference}}


def test_delay_minimum_and_maximum_are_the_pools_and_zero_is_never_the_hpas() -> None:
    spec = pool_autoscaler(pool(minWorkers=0, maxWorkers=7, scaleDownDelay="2m"))["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 7)
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 120
    assert spec["behavior"]["scaleUp"]["policies"][0]["value"] == 7, "it may go to the maximum in one step"
    assert pool_autoscaler(pool(minWorkers=2, maxWorkers=7))["spec"]["minReplicas"] == 2


def test_what_the_api_server_adds_is_no_drift_and_what_somebody_changes_is() -> None:
    wanted = pool_autoscaler(pool())
    live = copy.deepcopy(wanted)
    live["spec"]["behavior"]["scaleUp"]["selectPolicy"] = "Max"
    live["metadata"]["labels"]["team"] = "llm"
    assert holds(live, wanted)
    live["spec"]["metrics"].append({"type": "Resource"})
    assert not holds(live, wanted)
    live = copy.deepcopy(wanted)
    del live["metadata"]["ownerReferences"]
    assert not holds(live, wanted)


@pytest.mark.parametrize(
    ("kind", "reason", "told"),
    [
        ("ScalingActive", "FailedGetExternalMetric", "the HPA h says: FailedGetExternalMetric: no such API"),
        ("AbleToScale", "FailedGetScale", "the HPA h says: FailedGetScale: no such API"),
        ("ScalingActive", "ScalingDisabled", ""),
        ("ScalingLimited", "TooFewReplicas", ""),
    ],
)
def test_an_hpa_is_quoted_where_it_does_not_scale_and_not_where_zero_is_ours(kind: str, reason: str, told: str) -> None:
    condition = {"type": kind, "status": "False", "reason": reason, "message": "no such API"}
    assert trouble_of({"metadata": {"name": "h"}, "status": {"conditions": [condition]}}) == told
    assert trouble_of({"metadata": {"name": "h"}, "status": {"conditions": [{**condition, "status": "True"}]}}) == ""


def test_only_hpas_of_this_namespace_and_these_workers_are_second_ones() -> None:
    others = [
        hpa("a", "Deployment", "somebody-elses"),
        hpa("b", "WorkerPool", "another"),
        hpa("c", "Deployment", "demo-llm-1", namespace="elsewhere"),
        hpa("d", "StatefulSet", "demo-llm-1"),
    ]
    assert second_autoscaler(pool(), ["demo-llm-1"], others) == ""
    told = second_autoscaler(pool(), ["demo-llm-1"], [*others, hpa("e", "Deployment", "demo-llm-1")])
    assert told.startswith("the HPA e scales the Deployment demo-llm-1, which the controller writes and sets back;")


def test_our_own_hpa_is_no_second_one() -> None:
    own = {**pool_autoscaler(pool())}
    assert second_autoscaler(pool(), [], [own]) == ""


def test_who_overwrote_a_number_is_told_for_a_while_and_our_own_numbers_are_not() -> None:
    now = 0.0
    overwritings = Overwritings(lambda: now)
    entry = {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    meta = {"namespace": "team", "name": "demo-llm-1", "managedFields": [entry]}
    deployment = {"metadata": meta, "spec": {"replicas": 7}}
    overwritings.note(("team", "demo"), deployment, 7)
    assert overwritings.told(("team", "demo")) == ""
    overwritings.note(("team", "demo"), deployment, 2)
    assert overwritings.told(("team", "demo")).startswith("kubectl set the Deployment demo-llm-1 to 7 replicas")
    assert overwritings.told(("team", "other")) == ""
    now = TOLD_SECONDS
    assert overwritings.told(("team", "demo")) == ""
