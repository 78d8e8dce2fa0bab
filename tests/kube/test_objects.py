"""The Deployment of an endpoint as a function of its pool: a table of what changes what."""

import json
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


def test_a_worker_is_told_to_go_when_its_container_can_hear_it() -> None:
    container = container_of(made(pool()))
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 1}}}
    assert container["args"] == ["worker"]
    assert "command" not in container, "the image's entry point passes signals on from its first moment"


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


def test_a_pool_may_loosen_the_kernels_profiles_and_nothing_else_of_its_pods_becomes_looser() -> None:
    strict, localhost = made(pool()), {"type": "Localhost", "localhostProfile": "profiles/terminal.json"}
    loose = made(pool(seccompProfile=localhost, appArmorProfile={"type": "Unconfined"}))
    assert pod_of(loose)["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": localhost,
        "appArmorProfile": {"type": "Unconfined"},
    }
    assert container_of(loose)["securityContext"] == container_of(strict)["securityContext"]


def test_an_update_never_runs_more_workers_than_planned() -> None:
    assert made(pool())["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0


def test_equal_manifests_have_equal_fingerprints_and_others_not() -> None:
    assert digest(made(pool())) == digest(made(pool()))
    assert digest(made(pool())) != digest(made(pool(), 2))


SERVER = {"image": "vllm/vllm-openai:v0.11.0", "port": 8000, "args": ["--model", "m"]}


def with_server(**fields: Any) -> dict[str, Any]:
    endpoint = {"url": None, "server": {**SERVER, **fields}}
    return made(pool(endpoint))


def server_of(deployment: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(deployment)["initContainers"]
    return dict(container)


def test_a_model_server_of_its_own_is_a_sidecar_that_the_worker_waits_for() -> None:
    deployment = with_server(startupTimeout="15m")
    server = server_of(deployment)
    assert (server["image"], server["args"], server["restartPolicy"]) == (SERVER["image"], SERVER["args"], "Always")
    probe = server["startupProbe"]
    assert probe["httpGet"] == {"path": "/health", "port": 8000}
    assert probe["periodSeconds"] * probe["failureThreshold"] == 15 * 60
    assert server["readinessProbe"]["httpGet"] == probe["httpGet"]
    assert server["terminationMessagePolicy"] == "FallbackToLogsOnError", "its last words reach the pool's status"
    told = json.loads(variables_of(deployment)["TASKFLEET_ENDPOINT"]["value"])
    assert Endpoint.model_validate(told).base_url == "http://127.0.0.1:8000/v1"


def test_a_worker_without_one_has_no_sidecar_and_no_volume() -> None:
    assert not {"initContainers", "volumes"} & set(pod_of(made(pool())))


def test_what_a_model_server_needs_goes_to_it_and_not_to_the_worker() -> None:
    gpu = {"limits": {"nvidia.com/gpu": "1"}}
    deployment = with_server(resources=gpu, env=[{"name": "HF_HOME", "value": "/models"}], command=["vllm", "serve"])
    server = server_of(deployment)
    assert server["resources"]["limits"] == gpu["limits"]
    assert server["env"] == [{"name": "HF_HOME", "value": "/models"}]
    assert server["command"] == ["vllm", "serve"]
    assert "nvidia.com/gpu" not in str(container_of(deployment)["resources"])
    assert "HF_HOME" not in variables_of(deployment)


@pytest.mark.parametrize(
    ("cache", "volume"),
    [
        ({"path": "/models", "claimName": "weights"}, {"persistentVolumeClaim": {"claimName": "weights"}}),
        ({"path": "/models", "sizeLimit": "20Gi"}, {"emptyDir": {"sizeLimit": "20Gi"}}),
        ({"path": "/models"}, {"emptyDir": {}}),
    ],
)
def test_the_cache_of_a_model_server_is_a_claim_or_goes_with_the_pod(
    cache: dict[str, str], volume: dict[str, Any]
) -> None:
    deployment = with_server(cache=cache)
    ((mount,), (found,)) = server_of(deployment)["volumeMounts"], pod_of(deployment)["volumes"]
    assert mount == {"name": found["name"], "mountPath": "/models"}
    assert found == {"name": found["name"], **volume}


def test_a_model_server_is_no_root_unless_someone_says_so() -> None:
    assert "runAsUser" not in server_of(with_server())["securityContext"]
    assert pod_of(with_server())["securityContext"]["runAsNonRoot"] is True
    someone = with_server(runAsUser=1000)
    assert server_of(someone)["securityContext"]["runAsNonRoot"] is True
    assert pod_of(someone)["securityContext"]["fsGroup"] == 1000
    root = server_of(with_server(runAsUser=0))["securityContext"]
    assert (root["runAsUser"], root["runAsNonRoot"]) == (0, False)


@pytest.mark.parametrize(
    ("provider", "path", "url"),
    [("openai", "/health", "http://127.0.0.1:8000/v1"), ("ollama", "/", "http://127.0.0.1:8000")],
)
def test_each_provider_has_its_usual_paths(provider: str, path: str, url: str) -> None:
    deployment = made(pool({"url": None, "server": SERVER, "provider": provider}))
    assert server_of(deployment)["startupProbe"]["httpGet"]["path"] == path
    told = json.loads(variables_of(deployment)["TASKFLEET_ENDPOINT"]["value"])
    assert Endpoint.model_validate(told).base_url == url


def with_tools(**tools: Any) -> dict[str, Any]:
    return made(pool({"url": None, "provider": "tools", "models": ["http", "file"], "tools": tools}))


def test_workers_of_tools_get_a_folder_to_write_to_and_nothing_else() -> None:
    deployment = with_tools()
    assert pod_of(deployment)["volumes"] == [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}]
    assert container_of(deployment)["volumeMounts"] == [{"name": "scratch", "mountPath": "/tmp"}]
    assert container_of(deployment)["securityContext"]["readOnlyRootFilesystem"]


@pytest.mark.parametrize(
    ("file", "volume", "read_only"),
    [
        ({"root": "/data"}, {"emptyDir": {}}, False),
        (
            {"root": "/data", "claimName": "reports", "readOnly": True},
            {"persistentVolumeClaim": {"claimName": "reports"}},
            True,
        ),
    ],
)
def test_the_folder_of_file_is_a_volume_at_its_root(
    file: dict[str, Any], volume: dict[str, Any], read_only: bool
) -> None:
    deployment = with_tools(file=file)
    assert pod_of(deployment)["volumes"][1:] == [{"name": "files", **volume}]
    mount = {"name": "files", "mountPath": "/data", "readOnly": read_only}
    assert container_of(deployment)["volumeMounts"][1:] == [mount]
    assert pod_of(deployment)["securityContext"]["fsGroup"] == 65532


def test_what_tools_may_do_reaches_their_workers() -> None:
    told = json.loads(
        variables_of(with_tools(network={"allowedHosts": ["example.com"]}))["TASKFLEET_ENDPOINT"]["value"]
    )
    assert told["provider"] == "tools"
    assert told["tools"]["network"]["allowedHosts"] == ["example.com"]


def test_other_workers_have_no_volumes() -> None:
    assert "volumes" not in pod_of(made(pool()))
    assert "volumeMounts" not in container_of(made(pool()))
