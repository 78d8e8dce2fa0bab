"""The Deployment of an endpoint as a function of its pool: a table of what changes what."""

from typing import Any

import pytest

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.cluster.objects import WorkerDefaults, digest, store_secret, worker_deployment
from taskfleet.worker import environment

DEFAULTS = WorkerDefaults(image="taskfleet:1", store_url="valkey://:hush@store:6379")


def pool(endpoint: dict[str, Any] | None = None, **template: Any) -> WorkerPool:
    one = {"name": "one", "url": "http://llm/v1", "models": ["m"], **(endpoint or {})}
    return WorkerPool.model_validate(
        {
            "apiVersion": "taskfleet.dev/v1alpha1",
            "kind": "WorkerPool",
            "metadata": {"name": "p", "namespace": "ns", "uid": "u-1", "generation": 1},
            "spec": {"queueRef": {"name": "q"}, "endpoints": [one], "workerTemplate": template},
        }
    )


def made(of: WorkerPool, replicas: int = 1, defaults: WorkerDefaults = DEFAULTS) -> dict[str, Any]:
    endpoint: Endpoint = of.spec.endpoints[0]
    return worker_deployment(of, endpoint, replicas, environment=environment(of, endpoint), defaults=defaults)


def pod_of(deployment: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


def container_of(deployment: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod_of(deployment)["containers"][0]
    return found


def variables_of(deployment: dict[str, Any]) -> dict[str, Any]:
    return {variable["name"]: variable for variable in container_of(deployment)["env"]}


def test_the_image_is_the_pools_or_else_the_installations() -> None:
    assert container_of(made(pool()))["image"] == "taskfleet:1"
    assert container_of(made(pool(image="mine:2")))["image"] == "mine:2"


def test_no_secret_is_in_a_deployment() -> None:
    deployment = made(pool({"apiKeySecretRef": {"name": "s", "key": "k"}}))
    assert "hush" not in str(deployment)
    assert "value" not in variables_of(deployment)["TASKFLEET_API_KEY"]


def test_the_secret_beside_the_pool_holds_the_stores_url_and_goes_with_the_pool() -> None:
    secret = store_secret(pool(), DEFAULTS)
    assert secret["stringData"] == {"url": DEFAULTS.store_url}
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    reference = variables_of(made(pool()))["TASKFLEET_STORE_URL"]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": secret["metadata"]["name"], "key": "url"}


def test_another_store_url_makes_other_pods() -> None:
    elsewhere = WorkerDefaults(DEFAULTS.image, "valkey://other:6379")
    assert made(pool())["spec"]["template"] != made(pool(), defaults=elsewhere)["spec"]["template"]


def test_the_number_of_workers_changes_no_pod() -> None:
    few, many = made(pool(), 1), made(pool(), 9)
    assert few["spec"]["template"] == many["spec"]["template"]
    assert (few["spec"]["replicas"], many["spec"]["replicas"]) == (1, 9)


def test_the_users_variables_cannot_take_the_place_of_ours() -> None:
    deployment = made(pool(env=[{"name": "TASKFLEET_QUEUE", "value": "x"}, {"name": "HTTPS_PROXY", "value": "y"}]))
    assert variables_of(deployment)["TASKFLEET_QUEUE"]["value"] == "ns/q"
    assert variables_of(deployment)["HTTPS_PROXY"]["value"] == "y"
    assert len(variables_of(deployment)) == len(container_of(deployment)["env"])


def test_the_users_labels_cannot_break_the_selector() -> None:
    wanted = made(pool())["spec"]["selector"]["matchLabels"]
    broken = made(pool(labels={**dict.fromkeys(wanted, "x"), "team": "a"}))
    labels = broken["spec"]["template"]["metadata"]["labels"]
    assert wanted.items() <= labels.items()
    assert labels["team"] == "a"


def test_kubernetes_waits_longer_than_the_worker_needs_to_hand_back() -> None:
    deployment = made(pool(terminationGracePeriod="20s"))
    assert pod_of(deployment)["terminationGracePeriodSeconds"] > 20
    assert variables_of(deployment)["TASKFLEET_GRACE_SECONDS"]["value"] == "20"


def test_resources_are_the_pools_own_or_ours_and_never_half_of_each() -> None:
    assert container_of(made(pool()))["resources"]["limits"] == {"memory": "512Mi"}
    own = container_of(made(pool(resources={"requests": {"memory": "2Gi"}})))["resources"]
    assert own["requests"] == {"memory": "2Gi"}
    assert not own.get("limits")
    # The API server fills in empty maps; they say nothing.
    filled = container_of(made(pool(resources={"requests": {}, "limits": {}})))["resources"]
    assert filled["limits"] == {"memory": "512Mi"}


@pytest.mark.parametrize(
    ("template", "field", "expected"),
    [
        ({"nodeSelector": {"gpu": "no"}}, "nodeSelector", {"gpu": "no"}),
        ({"serviceAccountName": "mine"}, "serviceAccountName", "mine"),
        ({"tolerations": [{"key": "a", "operator": "Exists"}]}, "tolerations", [{"key": "a", "operator": "Exists"}]),
    ],
)
def test_placement_is_handed_through(template: dict[str, Any], field: str, expected: Any) -> None:
    assert field not in pod_of(made(pool()))
    assert pod_of(made(pool(**template)))[field] == expected


def test_pods_meet_the_restricted_pod_security_standard() -> None:
    deployment = made(pool())
    assert pod_of(deployment)["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container_of(deployment)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert pod_of(deployment)["automountServiceAccountToken"] is False


def test_an_update_never_runs_more_workers_than_planned() -> None:
    assert made(pool())["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0


def test_equal_manifests_have_equal_fingerprints_and_others_not() -> None:
    assert digest(made(pool())) == digest(made(pool()))
    assert digest(made(pool())) != digest(made(pool(), 2))
