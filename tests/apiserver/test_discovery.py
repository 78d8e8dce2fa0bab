"""Services as endpoints, on a real API server: they appear, move and vanish, and a broken watch is no vanishing."""

import json
import signal
from collections.abc import Mapping
from typing import Any

from tests.apiserver.conftest import install_crds
from tests.apiserver.site import MODEL, Object, Site
from tests.support.apiserver import Servers

LABELS = {"app": "ollama"}
SCALING = {"minWorkers": 9, "maxWorkers": 9}


def service(site: Site, name: str, *, labels: Mapping[str, str] = LABELS, port: int = 11434) -> Object:
    meta = {"name": name, "namespace": site.namespace, "labels": dict(labels)}
    ports = [{"name": "http", "port": port, "protocol": "TCP"}]
    spec = {"ports": ports, "selector": {"app": name}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def pool(site: Site, *listed: str, port: int | str = 11434, **labels: str) -> Object:
    """Two workers for each endpoint found."""
    discovery = {
        "selector": {"matchLabels": labels or LABELS},
        "port": port,
        "provider": "ollama",
        "models": [MODEL],
        "maxWorkers": 2,
    }
    return site.pool(endpoints=listed, discovery=discovery, autoscaling=SCALING)


def url(site: Site, endpoint: str) -> str:
    """Where the workers of an endpoint call; "" while it has no Deployment."""
    deployment = site.deployment(endpoint)
    if deployment is None:
        return ""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    told = {variable["name"]: variable.get("value", "") for variable in container["env"]}
    return str(json.loads(told["TASKFLEET_ENDPOINT"])["url"])


def endpoints(site: Site) -> list[str]:
    status = (site.get("WorkerPool") or {}).get("status", {})
    return [each["name"] for each in status.get("endpoints", ())]


def uid(site: Site, endpoint: str) -> Any:
    deployment = site.deployment(endpoint)
    return deployment and deployment["metadata"]["uid"]


def test_endpoints_follow_the_services(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), pool(site, port="http"))
    site.until(lambda: site.condition("WorkerPool", "Ready").get("reason") == "NoEndpoints", "the lack to be told")

    site.apply(service(site, "first"), service(site, "second"), service(site, "other", labels={"app": "web"}))
    site.until(lambda: (site.replicas("first"), site.replicas("second")) == (2, 2), "workers for both")
    assert url(site, "first") == f"http://first.{site.namespace}.svc:11434"
    site.until(lambda: endpoints(site) == ["first", "second"], "the status to show both")
    assert site.condition("WorkerPool", "ServicesFound")["message"] == "2 Services with the labels app=ollama"
    assert site.deployment("other") is None

    site.apply(service(site, "first", port=8080))
    site.until(lambda: url(site, "first") == f"http://first.{site.namespace}.svc:8080", "the port to be followed")

    site.apply(service(site, "second", labels={"app": "web"}))
    site.until(lambda: site.deployment("second") is None, "the one without the label to go")

    site.delete("Service", "first")
    site.until(lambda: site.deployment("first") is None, "the one that is gone to go")
    site.until(lambda: site.condition("WorkerPool", "Ready").get("reason") == "NoEndpoints", "the lack to be told")
    assert "NoServiceMatches" in site.reasons()

    site.apply(pool(site, app="web"))
    site.until(lambda: endpoints(site) == ["other", "second"], "the edited selector to be followed")


def test_a_service_that_cannot_be_used_is_told_and_the_others_serve(site: Site) -> None:
    site.start_controller()
    site.apply(service(site, "one"), service(site, "two"), service(site, "three", port=80))
    site.apply(site.queue(), pool(site, "one"))

    site.until(lambda: endpoints(site) == ["one", "two"], "the status to show the one that can be used")
    assert url(site, "two") == f"http://two.{site.namespace}.svc:11434"
    condition = site.condition("WorkerPool", "ServicesFound")
    assert (condition["status"], condition["reason"]) == ("False", "ServicesUnusable")
    assert "one: spec.endpoints has an endpoint of this name" in condition["message"]
    assert "three: it has no TCP port 11434" in condition["message"]
    assert url(site, "one") == site.model_url
    site.until(lambda: "ServicesUnusable" in site.reasons(), "the event")


def test_a_restarted_controller_leaves_the_workers_of_services_as_they_are(site: Site) -> None:
    first = site.start_controller()
    site.apply(site.queue(), service(site, "one"), pool(site))
    site.until(lambda: site.replicas("one") == 2 and endpoints(site) == ["one"], "its workers")
    before = uid(site, "one")
    first.stop(signal.SIGKILL)
    site.apply(service(site, "two"))

    site.start_controller()
    site.until(lambda: site.replicas("two") == 2, "workers of the one that came meanwhile")

    assert uid(site, "one") == before
    assert site.replicas("one") == 2


def test_services_that_cannot_be_seen_are_not_gone(own_site: Site, own_servers: Servers) -> None:
    install_crds(own_site.server)
    controller = own_site.start_controller()
    own_site.apply(own_site.queue(), service(own_site, "stays"), service(own_site, "goes"), pool(own_site))
    own_site.until(lambda: own_site.replicas("stays") == own_site.replicas("goes") == 2, "workers of both")
    before = uid(own_site, "stays")

    # The watch breaks, and what goes and comes meanwhile is in no event.
    controller.send(signal.SIGSTOP)
    own_servers.kill_apiserver()
    own_servers.start_apiserver()
    own_site.delete("Service", "goes")
    own_site.apply(service(own_site, "comes"))
    controller.send(signal.SIGCONT)

    own_site.until(lambda: own_site.replicas("comes") == 2, "workers of the one that came", timeout=30)
    own_site.until(lambda: own_site.deployment("goes") is None, "the one that is gone to go", timeout=30)
    assert uid(own_site, "stays") == before
    assert own_site.replicas("stays") == 2
    assert controller.running
