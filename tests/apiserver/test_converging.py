"""The real controller on a real API server: whatever comes in whatever order ends in the same workers."""

from taskfleet.core.names import deployment_name, store_secret_name
from tests.apiserver.site import COLLECTION, Site


def test_a_pool_before_its_queue_says_so_and_works_once_the_queue_comes(site: Site) -> None:
    site.start_controller()
    site.apply(site.pool())
    site.until(
        lambda: site.condition("WorkerPool", "Ready").get("reason") == "QueueNotFound", "the pool to miss its queue"
    )

    site.apply(site.queue())
    site.until(lambda: site.condition("TaskQueue", "Ready").get("status") == "True", "the queue to be ready")
    site.submit(3)

    site.until(lambda: site.replicas() == 3, "a worker for each task")


def test_objects_that_were_there_before_the_controller_are_served(site: Site) -> None:
    site.apply(site.queue(), site.pool(autoscaling={"minWorkers": 2, "maxWorkers": 5}))

    site.start_controller()

    site.until(lambda: site.replicas() == 2, "the pool's least workers")


def test_workers_go_back_to_zero_when_the_tasks_are_done(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool())
    site.until(lambda: site.replicas() == 0, "a Deployment without workers")
    site.submit(4)
    site.until(lambda: site.replicas() == 4, "workers for the backlog")

    assert site.finish_all() == 4

    site.until(lambda: site.replicas() == 0, "no workers after the delay")
    site.until(lambda: site.get("TaskQueue")["status"]["completed"] == 4, "the queue to count its completed tasks")
    site.until(lambda: {"ScaledUp", "ScaledDown"} & site.reasons(), "events that tell of the decisions")


def test_the_workers_of_an_endpoint_are_one_hardened_deployment_owned_by_the_pool(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool())
    made = site.until(site.deployment, "the Deployment")

    pool = site.get("WorkerPool")
    owner = made["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("WorkerPool", pool["metadata"]["uid"], True)
    pod = made["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    container = pod["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    environment = {variable["name"]: variable for variable in container["env"]}
    assert environment["TASKFLEET_STORE_URL"]["valueFrom"]["secretKeyRef"]["name"] == store_secret_name("demo")
    assert site.store_url not in str(made)
    managers = {entry["manager"] for entry in made["metadata"]["managedFields"]}
    assert managers == {"taskfleet"}


def test_the_endpoints_key_comes_from_its_secret_whenever_that_comes(site: Site) -> None:
    site.start_controller()
    reference = {"name": "llm-key", "key": "token"}
    site.apply(
        site.queue(),
        {**site.pool(), "spec": site.pool()["spec"] | {"endpoints": [site.endpoint("one", apiKeySecretRef=reference)]}},
    )
    made = site.until(site.deployment, "the Deployment, before there is a Secret")

    environment = {variable["name"]: variable for variable in made["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert environment["TASKFLEET_API_KEY"]["valueFrom"]["secretKeyRef"] == reference


def test_an_edit_of_the_pool_reaches_its_deployments(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool())
    site.until(site.deployment, "the Deployment")

    changed = site.pool()
    changed["spec"]["workerTemplate"] = {"image": "example.invalid/other:2", "terminationGracePeriod": "7s"}
    site.apply(changed)

    def updated() -> bool:
        pod = site.deployment()["spec"]["template"]["spec"]
        return pod["containers"][0]["image"] == "example.invalid/other:2" and pod["terminationGracePeriodSeconds"] == 12

    site.until(updated, "the new image and grace period")


def test_an_endpoint_that_leaves_the_pool_takes_its_deployment_along(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool(endpoints=("one", "two")))
    site.until(lambda: len(site.list("Deployment")) == 2, "a Deployment for each endpoint")

    site.apply(site.pool(endpoints=("two", "three")))

    wanted = {deployment_name("demo", "two"), deployment_name("demo", "three")}
    site.until(
        lambda: {found["metadata"]["name"] for found in site.list("Deployment")} == wanted, "the new endpoints' own"
    )


def test_what_a_deleted_pool_made_goes_with_it(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool())
    site.until(site.deployment, "the Deployment")
    site.until(lambda: site.get("Secret", store_secret_name("demo")), "the Secret with the store's URL")

    site.delete("WorkerPool")

    site.until(lambda: not site.list("Deployment"), "the Deployment to be collected", timeout=COLLECTION)
    site.until(
        lambda: not site.get("Secret", store_secret_name("demo")), "the Secret to be collected", timeout=COLLECTION
    )


def test_long_names_that_begin_alike_get_deployments_of_their_own(site: Site) -> None:
    site.start_controller()
    long = "a-very-long-name-for-a-pool-that-fills-all-the-room-there-is-1"
    site.apply(site.queue(long), *(site.pool(f"{long}{end}", queue=long, endpoints=("e" * 40,)) for end in "ab"))

    site.until(lambda: len(site.list("Deployment")) == 2, "a Deployment for each pool")

    for found in site.list("Deployment"):
        assert len(found["metadata"]["name"]) <= 46
    site.until(lambda: site.condition("WorkerPool", "Ready", f"{long}a"), "a status on the pool with the long name")
