"""Model servers inside a pool, on a real API server: scaled with the workers, seen, and measured."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.apiserver.site import MODEL, Object, Site

SERVER = {
    "image": "vllm/vllm-openai:v0.11.0",
    "port": 8000,
    "args": ["--model", "m"],
    "resources": {"limits": {"nvidia.com/gpu": 1}},
    "cache": {"path": "/models", "sizeLimit": "20Gi"},
}


@pytest.fixture
def own(site: Site) -> Site:
    """A pool whose one endpoint has a server of its own, where only pods of the strictest standard may be."""
    enforced = "pod-security.kubernetes.io/enforce=restricted"
    site.server.kubectl("label", "namespace", site.namespace, enforced, check=True)
    site.server.kubectl("create", "serviceaccount", "default", "-n", site.namespace)
    site.start_controller()
    endpoint = {"name": "one", "server": SERVER, "models": [MODEL], "concurrency": 1}
    pool = site.pool(endpoints=())
    pool["spec"]["endpoints"] = [endpoint]
    site.apply(site.queue(), pool)
    site.until(lambda: site.replicas() == 0, "a Deployment without workers")
    return site


def make_pod(site: Site, name: str, **statuses: Any) -> Object:
    """A pod as the Deployment's controller and a kubelet would, with what the kubelet says of its containers."""
    template = site.deployment()["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": template["metadata"]["labels"]}}
    made: Object = site.server.request("POST", site.path("Pod"), {**pod, "spec": template["spec"]})
    seen = {"image": "x", "imageID": "", "ready": False, "restartCount": 0}
    status = {kind: [{**seen, **each} for each in containers] for kind, containers in statuses.items()}
    site.server.merge(site.path("Pod", name, "status"), {"status": status})
    return made


def endpoint_status(site: Site) -> Object:
    (status,) = ((site.get("WorkerPool") or {}).get("status") or {}).get("endpoints") or [{}]
    return dict(status)


def test_servers_go_from_none_to_some_and_back_with_the_queue_and_the_api_server_takes_their_pods(own: Site) -> None:
    own.until(lambda: own.condition("WorkerPool", "EndpointsHealthy").get("status") == "True", "nothing to be amiss")
    own.submit(3)
    own.until(lambda: own.replicas() == 3, "a worker and a server for each task")
    spec = make_pod(own, "first")["spec"]
    (server,) = spec["initContainers"]
    assert (server["restartPolicy"], server["resources"]["limits"]) == ("Always", {"nvidia.com/gpu": "1"})
    assert server["startupProbe"]["httpGet"]["port"] == 8000
    assert own.finish_all() == 3
    own.until(lambda: own.replicas() == 0, "no server without tasks")


def test_a_server_that_does_not_come_up_is_told_with_its_last_words(own: Site) -> None:
    own.submit(1)
    own.until(lambda: own.replicas() == 1, "a worker for the task")
    said = {"exitCode": 1, "reason": "Error", "message": "loading weights\nOSError: m is not a local folder"}
    ended = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:15:00Z", **said}
    server = {
        "name": "server",
        "started": False,
        "restartCount": 1,
        "state": {"running": {"startedAt": "2026-01-01T00:15:01Z"}},
        "lastState": {"terminated": ended},
    }
    worker = {"name": "worker", "state": {"waiting": {"reason": "PodInitializing"}}}
    make_pod(own, "first", initContainerStatuses=[server], containerStatuses=[worker])

    def told() -> bool:
        return "OSError: m is not a local folder" in own.condition("WorkerPool", "Ready").get("message", "")

    own.until(told, "the server's last words", timeout=30)
    assert own.condition("WorkerPool", "Ready")["status"] == "False"
    assert own.condition("WorkerPool", "EndpointsHealthy")["status"] == "False"
    assert endpoint_status(own)["healthy"] is False
    assert own.replicas() == 1, "it is still tried"

    own.set_ready(1)
    own.until(lambda: endpoint_status(own).get("healthy"), "the endpoint to be well")


def test_a_cold_start_is_measured_and_shown(own: Site) -> None:
    own.submit(1)
    own.until(lambda: own.replicas() == 1, "a worker for the task")
    own.until(lambda: endpoint_status(own).get("workers") == 1, "the worker in the status")
    created = make_pod(own, "first")["metadata"]["creationTimestamp"]
    began = (datetime.fromisoformat(created) + timedelta(seconds=42)).strftime("%Y-%m-%dT%H:%M:%SZ")
    worker = {"name": "worker", "image": "x", "imageID": "", "ready": True, "restartCount": 0}
    running = {"containerStatuses": [{**worker, "state": {"running": {"startedAt": began}}}]}
    own.server.merge(own.path("Pod", "first", "status"), {"status": running})
    own.set_ready(1)
    own.until(lambda: endpoint_status(own).get("coldStartSeconds") == 42.0, "the measured cold start")
