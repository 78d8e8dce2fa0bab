"""The life of a release with work in it: tested, upgraded, rolled back, and no password shown."""

import base64

import yaml

from tests.e2e.cluster import SYSTEM, Cluster
from tests.e2e.release import Release
from tests.e2e.test_cluster import APPLIED, status, task_lines
from tests.support.waiting import wait_until

TASKS = 300


def test_helm_test_passes(installed: Cluster, release: Release) -> None:
    release.test()
    assert installed.get("tq", "taskfleet-test", "-n", SYSTEM) is None, "it clears up after itself"


def test_an_upgrade_and_a_way_back_lose_no_work(installed: Cluster, release: Release, namespace: str) -> None:
    installed.kubectl("apply", "-n", namespace, *APPLIED)
    installed.kubectl("wait", "--for=condition=Ready", "tq/demo", "-n", namespace, "--timeout=30s")
    installed.taskfleet("submit", "demo", "-n", namespace, "-f", "-", stdin=task_lines(TASKS))
    wait_until(lambda: status(installed, namespace).get("completed", 0) > 5, "the first results", timeout=120)
    before = installed.password()
    release.upgrade(controller={"podAnnotations": {"try": "upgrade"}}, valkey={"podAnnotations": {"try": "upgrade"}})
    assert installed.password() == before, "an upgrade keeps the password"
    release.roll_back()
    wait_until(lambda: status(installed, namespace).get("completed") == TASKS, "every task", timeout=300)
    assert status(installed, namespace)["failed"] == 0


def test_the_password_is_shown_nowhere(installed: Cluster, release: Release, namespace: str) -> None:
    installed.kubectl("apply", "-n", namespace, *APPLIED)
    installed.kubectl("wait", "--for=condition=Ready", "tq/demo", "-n", namespace, "--timeout=30s")
    password = installed.password()
    kinds = "deployments,statefulsets,replicasets,pods,configmaps,events,taskqueues,workerpools,parallelqueues"
    shown = installed.kubectl("get", kinds, "--all-namespaces", "-o", "yaml")
    shown += installed.kubectl("logs", "-n", SYSTEM, "deployment/taskfleet-controller")
    shown += installed.kubectl("logs", "-n", SYSTEM, "statefulset/taskfleet-valkey")
    shown += release.everything_told()
    assert yaml.safe_load(installed.kubectl("get", "pods", "-n", SYSTEM, "-o", "yaml"))["items"]
    assert password not in shown
    assert base64.b64encode(password.encode()).decode() not in shown
