"""Watch events, lists and answers to our writes in any order end in what is true; trouble is put into words."""

from typing import Any

import pytest

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.cluster.cache import ObjectCache
from taskfleet.controller.cluster.feed import DELETED, DEPLOYMENT, Feed
from taskfleet.controller.cluster.sidecar import cold_start
from taskfleet.controller.cluster.trouble import deployment_trouble, pods_trouble
from taskfleet.core.conditions import Condition
from taskfleet.core.task import QueueKey


def obj(version: int, name: str = "a", uid: str = "", **more: Any) -> dict[str, Any]:
    meta = {"namespace": "ns", "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": meta, **more}


def test_an_older_version_never_replaces_a_newer_one() -> None:
    cache = ObjectCache()
    assert cache.saw(obj(9))
    assert not cache.saw(obj(5))
    assert cache.saw(obj(10))
    found = cache.get("ns", "a")
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "10"


def test_an_answer_that_comes_after_the_deletion_does_not_bring_the_object_back() -> None:
    cache = ObjectCache()
    cache.saw(obj(5))
    assert cache.saw_gone(obj(7))
    assert not cache.saw(obj(6))
    assert cache.get("ns", "a") is None
    assert cache.saw(obj(8, uid="another"))


def test_a_late_deletion_does_not_take_its_successor_away() -> None:
    cache = ObjectCache()
    cache.saw(obj(9, uid="second"))
    assert not cache.saw_gone(obj(7, uid="first"))
    assert cache.get("ns", "a") is not None


def test_what_is_in_no_list_any_more_is_lost_but_not_what_came_while_listing() -> None:
    cache = ObjectCache()
    cache.saw(obj(1, "stays"))
    cache.saw(obj(2, "goes"))
    before = list(cache)
    cache.saw(obj(5, "came-meanwhile"))

    lost = cache.missed(before, {"uid-stays"})

    assert [gone["metadata"]["name"] for gone in lost] == ["goes"]
    assert cache.get("ns", "came-meanwhile") is not None


class Notes:
    """A sink that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def set_queue(self, queue: TaskQueue) -> None:
        self.told.append(("set queue", queue.metadata.name))

    def forget_queue(self, key: QueueKey) -> None:
        self.told.append(("forget queue", key.name))

    def set_pool(self, pool: WorkerPool, services: Condition | None = None) -> None:
        self.told.append(("set pool", pool.metadata.name))

    def forget_pool(self, namespace: str, name: str) -> None:
        self.told.append(("forget pool", name))

    def touch_pool(self, namespace: str, name: str) -> None:
        self.told.append(("touch pool", name))

    def set(self, queue: ParallelQueue) -> None:
        self.told.append(("set parallel", queue.metadata.name))

    def forget(self, namespace: str, name: str) -> None:
        self.told.append(("forget parallel", name))


def feed() -> tuple[Feed, Notes, list[str], set[str]]:
    notes, complaints, invalid = Notes(), list[str](), set[str]()
    made = Feed(
        notes,
        notes,
        {"TaskQueue": ObjectCache(), "WorkerPool": ObjectCache(), "ParallelQueue": ObjectCache()},
        ObjectCache(),
        ObjectCache(),
        ObjectCache(),
        lambda _kind, _obj, problems: complaints.append(problems),
        invalid,
    )
    return made, notes, complaints, invalid


def queue(version: int, **spec: Any) -> dict[str, Any]:
    fields = {"models": [{"name": "m"}], **spec}
    return {"apiVersion": "taskfleet.dev/v1alpha1", "kind": "TaskQueue", **obj(version, "q", spec=fields)}


def test_an_invalid_object_is_told_and_kept_from_the_reconciler_until_it_is_corrected() -> None:
    made, notes, complaints, invalid = feed()
    made.event("TaskQueue", None, queue(1))
    made.event("TaskQueue", "MODIFIED", queue(2, taskTimeout=7))
    assert notes.told == [("set queue", "q")]
    assert "taskTimeout" in complaints[0]
    assert invalid == {"uid-q"}

    made.event("TaskQueue", "MODIFIED", queue(3))
    assert notes.told == [("set queue", "q")] * 2
    assert not invalid


def test_a_deleted_invalid_object_is_forgotten_too() -> None:
    made, notes, _, invalid = feed()
    made.event("TaskQueue", None, queue(1, taskTimeout=7))
    made.event("TaskQueue", DELETED, queue(2, taskTimeout=7))
    assert notes.told == [("forget queue", "q")]
    assert not invalid


def test_a_deployment_touches_its_pool_also_when_it_just_lost_its_owner() -> None:
    made, notes, _, _ = feed()
    owner = {"apiVersion": "taskfleet.dev/v1alpha1", "kind": "WorkerPool", "name": "p", "uid": "u", "controller": True}
    owned = obj(1)
    owned["metadata"]["ownerReferences"] = [owner]
    made.event(DEPLOYMENT, None, owned)
    assert notes.told == [("touch pool", "p")]
    made.event(DEPLOYMENT, "MODIFIED", obj(2))
    assert notes.told == [("touch pool", "p")] * 2


def test_a_list_tells_of_what_went_while_nobody_watched() -> None:
    made, notes, _, _ = feed()
    made.event("TaskQueue", None, queue(1))
    made.listed("TaskQueue", made.known("TaskQueue"), [])
    assert notes.told[-1] == ("forget queue", "q")


def pod(name: str = "w", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": status}


def waiting(reason: str, message: str = "", **container: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(containerStatuses=[{"name": "worker", "state": state, **container}])


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (waiting("ImagePullBackOff", 'Back-off pulling image "x"'), 'ImagePullBackOff: Back-off pulling image "x"'),
        (
            waiting("CreateContainerConfigError", 'secret "k" not found'),
            'CreateContainerConfigError: secret "k" not found',
        ),
        (
            waiting(
                "CrashLoopBackOff",
                "back-off 10s",
                lastState={"terminated": {"exitCode": 11, "reason": "Error", "message": "one\nno store\n"}},
            ),
            "CrashLoopBackOff: the worker ended with exit code 11 (Error): no store",
        ),
        (
            waiting("CrashLoopBackOff", "back-off", lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            "CrashLoopBackOff: the worker ended with exit code 137 (OOMKilled)",
        ),
        (
            pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1"}]),
            "Unschedulable: 0/1",
        ),
        (
            pod(
                initContainerStatuses=[
                    {
                        "name": "server",
                        "started": False,
                        "state": {"running": {}},
                        "lastState": {
                            "terminated": {"exitCode": 137, "reason": "Error", "message": "loading\nno CUDA device"}
                        },
                    }
                ],
                containerStatuses=[{"name": "worker", "state": {"waiting": {"reason": "PodInitializing"}}}],
            ),
            (
                "NotAnswering: it runs again and does not answer yet; before that the server ended with exit code 137 "
                "(Error): no CUDA device"
            ),
        ),
        (pod(initContainerStatuses=[{"name": "server", "started": False, "state": {"running": {}}}]), ""),
        (waiting("ContainerCreating"), ""),
        (pod(phase="Pending"), ""),
    ],
)
def test_the_trouble_of_a_pod_is_told_in_kubernetes_own_words(seen: dict[str, Any], words: str) -> None:
    assert pods_trouble([seen]) == words


def test_a_pod_that_is_going_is_no_trouble() -> None:
    going = waiting("CrashLoopBackOff")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert pods_trouble([going]) == ""


def test_many_pods_in_trouble_are_told_as_one_and_a_number() -> None:
    assert pods_trouble([waiting("ErrImagePull", "no"), waiting("ErrImagePull", "no")]) == (
        "ErrImagePull: no (and 1 more pods)"
    )


def test_a_deployment_that_may_make_no_pods_says_why() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    assert deployment_trouble({"status": {"conditions": [failure]}}) == "FailedCreate: exceeded quota"
    assert deployment_trouble({}) == ""


def came_up(created: str, started: str, **more: Any) -> dict[str, Any]:
    made = pod(containerStatuses=[{"name": "worker", "state": {"running": {"startedAt": started}}, **more}])
    made["metadata"]["creationTimestamp"] = created
    return made


def test_a_cold_start_goes_from_the_pods_creation_to_its_workers_start_in_the_newest_that_has_come() -> None:
    first = came_up("2026-01-01T10:00:00Z", "2026-01-01T10:02:00Z")
    second = came_up("2026-01-01T11:00:00Z", "2026-01-01T11:00:30Z")
    restarted = came_up("2026-01-01T12:00:00Z", "2026-01-01T14:00:00Z", restartCount=1)
    on_its_way = pod()
    on_its_way["metadata"]["creationTimestamp"] = "2026-01-01T13:00:00Z"
    assert cold_start([second, first, on_its_way, restarted]) == 30.0
    assert cold_start([first]) == 120.0
    assert cold_start([on_its_way]) is None
    assert cold_start([]) is None


def test_parallel_queues_go_to_whoever_runs_them_and_one_whose_items_are_none_is_told_of() -> None:
    made, notes, complaints, invalid = feed()

    def parallel(version: int, items: Any) -> dict[str, Any]:
        spec = {"queueRef": {"name": "q"}, "items": items, "actionLoop": [{"name": "ask", "action": "say"}]}
        return {"apiVersion": "taskfleet.dev/v1alpha1", "kind": "ParallelQueue", **obj(version, "p", spec=spec)}

    made.event("ParallelQueue", None, parallel(1, 5))
    assert complaints == [
        "spec.items: Value error, must be a list, the path of a file, or an expression such as {{ urls }}"
    ]
    assert invalid == {"uid-p"}
    made.event("ParallelQueue", "MODIFIED", parallel(2, ["x"]))
    made.event("ParallelQueue", "DELETED", parallel(3, ["x"]))
    assert notes.told == [("set parallel", "p"), ("forget parallel", "p")]
    assert not invalid
