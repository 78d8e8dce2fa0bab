"""Who writes how many workers there are: three modes, real HPAs of Kubernetes, and our metrics API behind the real one.

The API server is one of these tests' own, for a cluster has one external.metrics.k8s.io.
"""

import asyncio
import json
import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskfleet.core.names import METRIC_NEEDED_WORKERS, autoscaler_name, deployment_name
from taskfleet.metricsapi import service
from tests.apiserver.conftest import CONTROLLER, SYSTEM, install_crds, install_role, stop_all
from tests.apiserver.forbidding import forbidding
from tests.apiserver.site import COLLECTION, Object, Site
from tests.support.apiserver import ApiServer, Servers
from tests.support.chart import render
from tests.support.metricsapi import NAMESPACE, PATH, metrics_api, served, write_certificate
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually, wait_until

HPA = "HorizontalPodAutoscaler"
OWN_HPA = autoscaler_name("demo")
TO_ZERO_BY_ITSELF = "HPAScaleToZero=true"


@pytest.fixture(scope="module", params=[""])
def servers(
    binaries: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[ApiServer]:
    """A cluster in which HPAs work, with the feature gates of its parameter."""
    if not (binaries / "kube-controller-manager").exists():
        pytest.skip("NO HPA CONTROLLER: KUBEBUILDER_ASSETS has no kube-controller-manager")
    own = Servers(tmp_path_factory.mktemp("hpa") / "apiserver", binaries, feature_gates=request.param)
    try:
        yield install_role(install_crds(own.start()))
    finally:
        own.stop()


@pytest.fixture(scope="module")
def metrics_login(servers: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The account that the chart gives to the metrics API."""
    kinds = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "RoleBinding")
    objects = [each for each in render({"externalMetrics": {"enabled": True}}) if each["kind"] in kinds]
    servers.apply(*(each for each in objects if each["metadata"]["name"].endswith("metrics-api")))
    to = tmp_path_factory.mktemp("login") / "metrics-api.kubeconfig"
    return servers.kubeconfig_of(NAMESPACE, "taskfleet-metrics-api", to)


@pytest.fixture(scope="module")
def metrics(servers: ApiServer, metrics_login: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with metrics_api(servers, metrics_login, tmp_path_factory.mktemp("metrics-api")) as port:
        yield port


@pytest.fixture
def scaled(
    servers: ApiServer, store_url: str, stub_model: ModelStub, runner: asyncio.Runner, tmp_path: Path
) -> Iterator[Site]:
    """A namespace with a controller that has the installation's rights."""
    namespace = f"modes-{secrets.token_hex(3)}"
    servers.kubectl("create", "namespace", namespace, check=True)
    login = servers.kubeconfig_of(SYSTEM, CONTROLLER, tmp_path / "controller.kubeconfig")
    made = Site(servers, namespace, login, store_url, stub_model.url, runner)
    made.start_controller()
    yield made
    stop_all(made)
    refused = [line for line in made.controllers[0].lines if "forbidden" in str(line)]
    assert not refused, refused


def pool(site: Site, mode: str, **scaling: Any) -> Object:
    fast = {"scaleDownDelay": "1s", "scaleToZeroDelay": "1s", "maxWorkers": 8, "targetBacklogPerWorker": 1}
    return site.pool(autoscaling={"mode": mode, **fast, **scaling})


def spec_replicas(site: Site) -> int | None:
    replicas: int | None = site.get("WorkerPool")["spec"].get("replicas")
    return replicas


def switch(site: Site, mode: str) -> None:
    site.server.merge(site.path("WorkerPool", "demo"), {"spec": {"autoscaling": {"mode": mode}}})


def foreign_hpa(site: Site, name: str, kind: str, target: str, **labels: str) -> Object:
    version = "apps/v1" if kind == "Deployment" else "taskfleet.dev/v1alpha1"
    metric = {"metric": {"name": "nothing"}, "target": {"type": "AverageValue", "averageValue": "1"}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": HPA,
        "metadata": {"name": name, "namespace": site.namespace, "labels": labels},
        "spec": {
            "scaleTargetRef": {"apiVersion": version, "kind": kind, "name": target},
            "minReplicas": 1,
            "maxReplicas": 3,
            "metrics": [{"type": "External", "external": metric}],
        },
    }


@pytest.mark.parametrize("servers", ["", TO_ZERO_BY_ITSELF], ids=["as it comes", "may scale to zero"], indirect=True)
def test_in_mode_hpa_the_controller_wakes_the_pool_its_hpa_does_the_rest_and_the_controller_lets_it_go_back(
    scaled: Site, metrics: int
) -> None:
    scaled.apply(scaled.queue(), pool(scaled, "HPA"))
    scaled.until(lambda: scaled.get(HPA, OWN_HPA), "the HPA")
    scaled.until(lambda: scaled.replicas() == 0, "a Deployment without workers")

    scaled.submit(6)
    scaled.until(lambda: scaled.replicas() == 6, "the HPA to follow the need", timeout=40)
    own = scaled.get(HPA, OWN_HPA)
    assert own["status"]["desiredReplicas"] == 6
    assert scaled.get("WorkerPool")["status"]["neededReplicas"] == 6
    scaled.until(
        lambda: scaled.condition("WorkerPool", "ScalingActive")["reason"] == "FollowsHPA", "the pool to say so"
    )
    writers = {
        entry["manager"]
        for entry in scaled.get("WorkerPool")["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }
    assert writers == {"kube-controller-manager"}, "of six workers only the HPA is the author"

    assert scaled.finish_all() == 6
    scaled.until(lambda: scaled.replicas() == 0, "no workers after the delays", timeout=40)
    scaled.until(lambda: spec_replicas(scaled) == 0, "the number to say so")
    scaled.submit(1)
    scaled.until(lambda: scaled.replicas() == 1, "a worker again")


def test_a_pools_minimum_and_maximum_are_those_of_its_hpa_and_hold(scaled: Site, metrics: int) -> None:
    scaled.apply(scaled.queue(), pool(scaled, "HPA", minWorkers=2, maxWorkers=3))
    scaled.until(lambda: scaled.replicas() == 2, "the pool's least workers")
    scaled.submit(9)
    scaled.until(lambda: scaled.replicas() == 3, "the pool's most workers", timeout=40)
    scaled.until(
        lambda: scaled.condition("WorkerPool", "ScalingLimited")["reason"] == "PoolMaxWorkers", "the limit to be told"
    )
    own = scaled.get(HPA, OWN_HPA)["spec"]
    assert (own["minReplicas"], own["maxReplicas"]) == (2, 3)

    scaled.apply(pool(scaled, "HPA", minWorkers=1, maxWorkers=5))

    scaled.until(lambda: scaled.replicas() == 5, "the new maximum", timeout=40)


def test_switching_through_all_modes_loses_no_worker_and_leaves_no_hpa(scaled: Site, metrics: int) -> None:
    scaled.apply(scaled.queue(), pool(scaled, "Operator"))
    scaled.submit(4)
    scaled.until(lambda: scaled.replicas() == 4, "workers for the backlog")
    generation = scaled.deployment()["metadata"]["generation"]

    switch(scaled, "HPA")
    scaled.until(lambda: scaled.get(HPA, OWN_HPA), "the HPA")
    scaled.until(lambda: "currentMetrics" in str(scaled.get(HPA, OWN_HPA).get("status")), "the HPA to have looked")
    assert spec_replicas(scaled) == 4

    switch(scaled, "External")
    scaled.until(lambda: not scaled.list(HPA), "the HPA to go")
    scaled.until(
        lambda: scaled.condition("WorkerPool", "ScalingActive")["reason"] == "External", "the controller to follow"
    )
    assert spec_replicas(scaled) == 4

    switch(scaled, "Operator")
    scaled.until(lambda: spec_replicas(scaled) is None, "the number that counts no more to go")
    scaled.until(
        lambda: scaled.condition("WorkerPool", "ScalingActive")["reason"] == "FollowsQueue", "the controller to decide"
    )

    assert scaled.replicas() == 4
    assert scaled.deployment()["metadata"]["generation"] == generation, "its number was never touched"
    assert not scaled.list(HPA)


def test_a_deleted_pool_takes_its_hpa_along(scaled: Site, metrics: int) -> None:
    scaled.apply(scaled.queue(), pool(scaled, "HPA"))
    scaled.until(lambda: scaled.get(HPA, OWN_HPA), "the HPA")
    owner = scaled.get(HPA, OWN_HPA)["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["controller"]) == ("WorkerPool", True)

    scaled.delete("WorkerPool")

    scaled.until(
        lambda: not scaled.list(HPA) and not scaled.list("Deployment"), "all of it to be collected", timeout=COLLECTION
    )


def test_an_hpa_that_somebody_changes_is_set_back_and_one_that_is_deleted_comes_again(
    scaled: Site, metrics: int
) -> None:
    scaled.apply(scaled.queue(), pool(scaled, "HPA"))
    uid = scaled.until(lambda: scaled.get(HPA, OWN_HPA), "the HPA")["metadata"]["uid"]
    scaled.server.merge(scaled.path(HPA, OWN_HPA), {"spec": {"maxReplicas": 99}})
    scaled.until(lambda: scaled.get(HPA, OWN_HPA)["spec"]["maxReplicas"] == 8, "the maximum to be set back")

    scaled.delete(HPA, OWN_HPA)

    scaled.until(lambda: (scaled.get(HPA, OWN_HPA) or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid, "another")


def test_in_mode_external_kubectl_scale_works_from_the_start_and_starts_from_who_is_there(scaled: Site) -> None:
    scaled.apply(scaled.queue(), pool(scaled, "Operator", minWorkers=2))
    scaled.until(lambda: scaled.replicas() == 2, "two workers")
    switch(scaled, "External")
    scaled.until(lambda: spec_replicas(scaled) == 2, "those who are there to be written down")

    scaled.server.kubectl("scale", "wp", "demo", "--replicas=5", "-n", scaled.namespace, check=True)

    scaled.until(lambda: scaled.replicas() == 5, "five workers")


def test_in_mode_external_an_hpa_of_ones_own_goes_by_the_need_and_keeps_its_number_while_that_is_not_known(
    scaled: Site, metrics: int
) -> None:
    scaled.apply(scaled.queue(), pool(scaled, "External"))
    scaled.until(lambda: spec_replicas(scaled) == 0, "nobody to be there")
    scaled.submit(1)
    scaled.submit(4)

    def needed() -> int | None:
        told: int | None = scaled.get("WorkerPool").get("status", {}).get("neededReplicas")
        return told

    scaled.until(lambda: needed() == 5, "the need to be told with nobody there")
    own = foreign_hpa(scaled, "mine", "WorkerPool", "demo")
    by_need = {"name": METRIC_NEEDED_WORKERS, "selector": {"matchLabels": {"pool": "demo"}}}
    own["spec"] |= {"maxReplicas": 8, "metrics": [{"type": "External", "external": {
        "metric": by_need, "target": {"type": "AverageValue", "averageValue": "1"}}}]}  # fmt: skip
    scaled.apply(own)
    scaled.server.kubectl("scale", "wp", "demo", "--replicas=1", "-n", scaled.namespace, check=True)
    scaled.until(lambda: scaled.replicas() == 5, "the HPA to follow the need", timeout=40)
    assert scaled.condition("WorkerPool", "ScalingActive")["reason"] == "External"
    assert scaled.condition("WorkerPool", "ScalingDisputed")["status"] == "False"

    scaled.apply(scaled.queue(stopPolicy="Hold"))
    scaled.until(lambda: needed() is None, "the need to be told no more")
    path = f"{PATH}/namespaces/{scaled.namespace}/{METRIC_NEEDED_WORKERS}?labelSelector=pool%3Ddemo"
    code, words = ask(scaled.server, path, scaled.server.kubeconfig)
    assert code and "how many workers are needed is not told: the queue's stopPolicy is Hold" in words
    assert scaled.replicas() == 5


def test_in_mode_operator_kubectl_scale_is_refused_in_words(scaled: Site) -> None:
    scaled.apply(scaled.queue(), pool(scaled, "Operator"))
    patch = {"spec": {"replicas": 3}}
    with pytest.raises(AssertionError, match="replicas counts only when"):
        scaled.server.merge(scaled.path("WorkerPool", "demo"), patch)


def test_an_hpa_that_may_not_be_written_is_told_in_the_pool_and_the_pool_works_on(scaled: Site, metrics: int) -> None:
    probe = foreign_hpa(scaled, "any", "Deployment", "any")
    with forbidding(scaled, probe, "horizontalpodautoscalers", "no HPAs on Sundays"):
        scaled.apply(scaled.queue(), pool(scaled, "HPA"))
        scaled.submit(2)
        scaled.until(lambda: scaled.replicas() == 1, "the worker that the controller starts")
        scaled.until(
            lambda: "no HPAs on Sundays" in scaled.condition("WorkerPool", "ScalingActive").get("message", ""),
            "the refusal to be told",
        )
    scaled.until(lambda: scaled.replicas() == 2, "the HPA to come and do its part", timeout=40)


@pytest.fixture
def unregistered(servers: ApiServer) -> Iterator[None]:
    """No metrics API for a while, whether another test has registered one or not."""
    path = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
    found = servers.request("GET", path)
    if found:
        servers.request("DELETE", path)
    yield
    if found:
        kept = {"name": found["metadata"]["name"]}
        servers.apply({**found, "metadata": kept, "status": {}})
        wait_until(lambda: served(servers), "the metrics API to be registered again", timeout=30)


def test_without_the_metrics_api_the_pool_says_what_its_hpa_misses(scaled: Site, unregistered: None) -> None:
    scaled.apply(scaled.queue(), pool(scaled, "HPA"))
    scaled.submit(4)
    scaled.until(lambda: scaled.replicas() == 1, "the worker that the controller starts")

    def told() -> str:
        active = scaled.condition("WorkerPool", "ScalingActive")
        return str(active["message"]) if active.get("reason") == "HPANotScaling" else ""

    # An HPA that looks before the pool's first status is written misses its selector, and says so for one round.
    words = f"the HPA {OWN_HPA} says: FailedGetExternalMetric: "
    scaled.until(lambda: told().startswith(words), "the trouble", timeout=40)
    scaled.finish_all()
    scaled.until(lambda: scaled.replicas() == 0, "the controller to let it go back all the same")


def test_a_second_autoscaler_is_named_until_it_goes(scaled: Site) -> None:
    scaled.apply(scaled.queue(), pool(scaled, "Operator"))
    scaled.until(scaled.deployment, "the Deployment")

    def disputed() -> str:
        told = scaled.condition("WorkerPool", "ScalingDisputed")
        return str(told["message"]) if told.get("status") == "True" else ""

    deployment = deployment_name("demo", "one")
    scaled.apply(foreign_hpa(scaled, "theirs", "Deployment", deployment))
    assert f"the HPA theirs scales the Deployment {deployment}" in scaled.until(disputed, "the HPA to be named")
    scaled.delete(HPA, "theirs")
    scaled.until(lambda: not disputed(), "peace")

    keda = {"scaledobject.keda.sh/name": "mine"}
    scaled.apply(foreign_hpa(scaled, "keda-hpa-mine", "WorkerPool", "demo", **keda))
    told = scaled.until(disputed, "KEDA to be named")
    assert told.startswith("the HPA keda-hpa-mine of KEDA's ScaledObject mine would write spec.replicas of this pool")
    switch(scaled, "External")
    scaled.until(lambda: not disputed(), "peace: one autoscaler is right in mode External")
    scaled.apply(foreign_hpa(scaled, "another", "WorkerPool", "demo"))
    assert "all write spec.replicas of this pool; leave one of them" in scaled.until(disputed, "both to be named")


def test_whoever_else_writes_a_number_of_workers_is_set_back_and_named(scaled: Site) -> None:
    scaled.apply(scaled.queue(), pool(scaled, "Operator", minWorkers=2))
    scaled.until(lambda: scaled.replicas() == 2, "two workers")
    name = deployment_name("demo", "one")

    scaled.server.kubectl("scale", "deployment", name, "--replicas=7", "-n", scaled.namespace, check=True)

    told = scaled.until(
        lambda: (
            scaled.condition("WorkerPool", "ScalingDisputed").get("status") == "True"
            and scaled.condition("WorkerPool", "ScalingDisputed")["message"]
        ),
        "the writer to be named",
    )
    assert told.startswith(f"kubectl set the Deployment {name} to 7 replicas, and it was set back")
    assert scaled.replicas() == 2


def ask(server: ApiServer, path: str, login: Path) -> tuple[int, str]:
    asked = server.kubectl("get", "--raw", path, kubeconfig=login)
    return asked.returncode, asked.stdout or asked.stderr


def test_who_may_read_the_metric_is_the_api_servers_to_say_and_nobody_gets_past_it(
    scaled: Site, metrics: int, tmp_path: Path
) -> None:
    scaled.apply(scaled.queue(), pool(scaled, "HPA"))
    scaled.until(lambda: "neededReplicas" in str(scaled.get("WorkerPool").get("status")), "the need")
    server, namespace = scaled.server, scaled.namespace
    server.kubectl("create", "serviceaccount", "someone", "-n", namespace, check=True)
    login = server.kubeconfig_of(namespace, "someone", tmp_path / "someone.kubeconfig")
    path = f"{PATH}/namespaces/{namespace}/{METRIC_NEEDED_WORKERS}?labelSelector=pool%3Ddemo"

    refused, words = ask(server, path, login)
    assert refused and 'cannot list resource "taskfleet_pool_needed_workers"' in words
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": namespace},
        "rules": [{"apiGroups": ["external.metrics.k8s.io"], "resources": [METRIC_NEEDED_WORKERS], "verbs": ["list"]}],
    }
    server.apply(role)
    server.kubectl(
        "create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:someone", "-n", namespace
    )
    code, words = ask(server, path, login)
    assert code == 0, words
    assert json.loads(words)["items"][0]["metricLabels"] == {"pool": "demo", "queue": "demo"}

    assert METRIC_NEEDED_WORKERS in server.kubectl("api-resources", "--api-group=external.metrics.k8s.io").stdout
    url = f"https://127.0.0.1:{metrics}{PATH}"
    for certificate in (
        None,
        "admin",
    ):  # the administrator's is signed by the same authority, and not the front proxy's
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate:
            pki = server.folder / "pki"
            context.load_cert_chain(pki / f"{certificate}.crt", pki / f"{certificate}.key")
        with pytest.raises((OSError, urllib.error.HTTPError)) as raised:
            urllib.request.urlopen(url, context=context, timeout=10)
        if isinstance(raised.value, urllib.error.HTTPError):
            with raised.value as answer:
                assert (certificate, answer.code) == ("admin", 403)
                assert "asked through the API server" in answer.read().decode()


UNANSWERABLE = {
    "nothing": "there is no metric nothing; there is taskfleet_pool_needed_workers",
    f"{METRIC_NEEDED_WORKERS}?labelSelector=app%3Dx": "'app=x' is not known; select by pool=NAME, queue=NAME or both",
    f"{METRIC_NEEDED_WORKERS}?labelSelector=pool%3Dother": "this namespace has no WorkerPool with pool=other",
    f"{METRIC_NEEDED_WORKERS}?labelSelector=queue%3Dmissing": "the need of the WorkerPool demo is not known: the "
    "TaskQueue of spec.queueRef does not exist",
}


def test_what_cannot_be_answered_is_said_in_words_and_is_never_a_zero(scaled: Site, metrics: int) -> None:
    lost = pool(scaled, "HPA")
    scaled.apply({**lost, "spec": lost["spec"] | {"queueRef": {"name": "missing"}}})
    scaled.until(lambda: scaled.condition("WorkerPool", "Ready").get("reason") == "QueueNotFound", "no queue")
    for question, words in UNANSWERABLE.items():
        code, said = ask(scaled.server, f"{PATH}/namespaces/{scaled.namespace}/{question}", scaled.server.kubeconfig)
        assert code and words in said


def test_a_renewed_certificate_is_used_without_a_restart(
    metrics_login: Path, runner: asyncio.Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.1)
    ports: list[int] = []

    async def shown() -> str:
        return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", ports[-1]))

    async def renew() -> None:
        stop = asyncio.Event()
        options = service.MetricsApiOptions(str(metrics_login), tmp_path, 0, 0)
        serving = asyncio.create_task(service.run_metrics_api(options, stop, lambda port, _: ports.append(port)))
        await eventually(lambda: len(ports) == 1, "the metrics API to serve")
        first = await shown()
        write_certificate(tmp_path)
        await eventually(lambda: len(ports) == 2, "it to serve anew")
        assert await shown() != first
        stop.set()
        await serving

    write_certificate(tmp_path)
    runner.run(renew())
