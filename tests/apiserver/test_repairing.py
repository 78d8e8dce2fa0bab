"""What others change, delete or claim is put right; what is theirs is left alone."""

from taskfleet.core.names import LABEL_POOL, deployment_name
from tests.apiserver.forbidding import forbidding
from tests.apiserver.site import Site


def test_a_deployment_scaled_by_hand_is_scaled_back(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool(autoscaling={"minWorkers": 1, "maxWorkers": 5}))
    site.until(lambda: site.replicas() == 1, "the pool's least workers")

    name = deployment_name("demo", "one")
    site.server.kubectl("scale", "deployment", name, "--replicas=4", "-n", site.namespace, check=True)

    site.until(lambda: site.replicas() == 1, "the drift to be repaired")


def test_an_edited_variable_of_the_workers_is_set_back(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool())
    site.until(site.deployment, "the Deployment")

    changed = ("set", "env", f"deployment/{deployment_name('demo', 'one')}", "TASKFLEET_QUEUE=default/other")
    site.server.kubectl(*changed, "-n", site.namespace, check=True)

    def queue_of_worker() -> str:
        container = site.deployment()["spec"]["template"]["spec"]["containers"][0]
        return next(variable["value"] for variable in container["env"] if variable["name"] == "TASKFLEET_QUEUE")

    site.until(lambda: queue_of_worker() == f"{site.namespace}/demo", "the variable to be ours again")


def test_a_deleted_deployment_comes_back(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool())
    first = site.until(site.deployment, "the Deployment")["metadata"]["uid"]

    site.delete("Deployment", deployment_name("demo", "one"))

    site.until(lambda: (site.deployment() or {}).get("metadata", {}).get("uid", first) != first, "a new Deployment")


def test_a_deployment_that_lost_its_labels_or_its_owner_gets_them_back(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool())
    site.until(site.deployment, "the Deployment")
    path = site.path("Deployment", deployment_name("demo", "one"))

    site.server.merge(path, {"metadata": {"labels": None}})
    site.until(lambda: LABEL_POOL in site.deployment()["metadata"].get("labels", {}), "the labels")
    site.server.merge(path, {"metadata": {"ownerReferences": None}})
    site.until(lambda: site.deployment()["metadata"].get("ownerReferences"), "the owner")


def test_what_others_add_to_a_deployment_stays(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool())
    site.until(site.deployment, "the Deployment")
    path = site.path("Deployment", deployment_name("demo", "one"))

    site.server.merge(path, {"metadata": {"annotations": {"example.com/note": "mine"}}})
    site.submit(2)
    site.until(lambda: site.replicas() == 2, "workers for the backlog")

    assert site.deployment()["metadata"]["annotations"]["example.com/note"] == "mine"


def test_another_manager_of_our_fields_is_overruled(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool(autoscaling={"minWorkers": 1, "maxWorkers": 5}))
    site.until(lambda: site.replicas() == 1, "the pool's least workers")
    path = site.path("Deployment", deployment_name("demo", "one"))
    theirs = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 5}}

    query = "?fieldManager=somebody&force=true"
    site.server.request("PATCH", path + query, theirs, "application/apply-patch+yaml")

    site.until(lambda: site.replicas() == 1, "one writer of replicas")


def test_an_unserved_deployment_in_our_way_is_told_in_words(site: Site) -> None:
    """Somebody else's Deployment of our name: its selector cannot be changed, and we do not delete it."""
    name = deployment_name("demo", "one")
    theirs = ("create", "deployment", name, "--image=example.invalid/theirs", "-n", site.namespace)
    site.server.kubectl(*theirs, check=True)
    controller = site.start_controller()
    site.apply(site.queue(), site.pool(endpoints=("one", "two")))

    site.until(lambda: site.deployment("two"), "the other endpoint's Deployment all the same")
    site.until(lambda: "field is immutable" in site.condition("WorkerPool", "Ready").get("message", ""), "the refusal")
    assert controller.running


def test_readiness_and_the_trouble_of_pods_are_shown_in_words(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool(autoscaling={"minWorkers": 1, "maxWorkers": 5}))
    site.until(lambda: site.replicas() == 1, "the pool's least workers")
    meta = site.deployment()["spec"]["template"]["metadata"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stuck", "labels": meta["labels"]},
        "spec": {
            "containers": [{"name": "worker", "image": "example.invalid/none"}],
            "automountServiceAccountToken": False,
        },
    }
    site.server.kubectl("create", "serviceaccount", "default", "-n", site.namespace)
    site.server.request("POST", site.path("Pod"), pod)
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "example.invalid/none"'}
    container = {"name": "worker", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    status = {"containerStatuses": [{**container, "state": {"waiting": waiting}}]}
    site.server.merge(site.path("Pod", "stuck", "status"), {"status": status})

    def told() -> bool:
        return "ImagePullBackOff" in str((site.get("WorkerPool") or {}).get("status", {}))

    site.until(told, "the pod's trouble in the pool's status", timeout=30)
    site.set_ready(1)
    site.until(lambda: site.get("WorkerPool")["status"]["readyReplicas"] == 1, "the ready worker to be counted")
    site.until(lambda: not told(), "the trouble to go")


def test_an_api_server_that_refuses_the_workers_is_quoted_in_the_pool_until_it_lets_them_in(site: Site) -> None:
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "any", "image": "any"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": pod}
    probe = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "any"}, "spec": spec}
    with forbidding(site, probe, "deployments", "no workers on Sundays"):
        site.start_controller()
        site.apply(site.queue(), site.pool())

        site.until(lambda: "on Sundays" in site.condition("WorkerPool", "Ready").get("message", ""), "the refusal")

        assert site.condition("WorkerPool", "Ready")["reason"] == "WorkersNotStarting"
        site.until(lambda: "WorkersNotStarting" in site.reasons(), "an event")
    site.until(lambda: site.condition("WorkerPool", "Ready").get("status") == "True", "the pool to be well again")
    assert site.replicas() == 0
