"""Tools on a real API server: their workers are made, scaled with what waits, and taken where pods must be strict."""

import pytest

from tests.apiserver.site import MODEL, Site


@pytest.fixture
def tools(site: Site) -> Site:
    """A pool of tools, where only pods of the strictest standard may be."""
    enforced = "pod-security.kubernetes.io/enforce=restricted"
    site.server.kubectl("label", "namespace", site.namespace, enforced, check=True)
    site.server.kubectl("create", "serviceaccount", "default", "-n", site.namespace)
    site.start_controller()
    served = {"models": [MODEL, "file"], "remoteNames": {MODEL: "http"}, "tools": {"file": {"root": "/data"}}}
    pool = site.pool(endpoints=())
    pool["spec"]["endpoints"] = [{"name": "one", "provider": "tools", "concurrency": 1, **served}]
    site.apply(site.queue(), pool)
    site.until(lambda: site.replicas() == 0, "a Deployment without workers")
    return site


def test_tools_go_from_none_to_some_and_back_with_the_queue_and_are_healthy_without_a_probe(tools: Site) -> None:
    tools.until(
        lambda: tools.condition("WorkerPool", "EndpointsHealthy").get("status") == "True", "nothing to be amiss"
    )
    tools.submit(3)
    tools.until(lambda: tools.replicas() == 3, "a worker for each task")
    template = tools.deployment()["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "first", "labels": template["metadata"]["labels"]}}
    made = tools.server.request("POST", tools.path("Pod"), {**pod, "spec": template["spec"]})
    mounts = {mount["name"]: mount["mountPath"] for mount in made["spec"]["containers"][0]["volumeMounts"]}
    assert (mounts["files"], mounts["scratch"]) == ("/data", "/tmp")
    assert tools.finish_all() == 3
    tools.until(lambda: tools.replicas() == 0, "no worker without tasks")
