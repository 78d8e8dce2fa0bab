"""The life of a release with work in it: tested, upgraded, rolled back, and no password shown.

``TASKFLEET_E2E_PREVIOUS_CHART`` (a folder) and ``TASKFLEET_E2E_PREVIOUS_IMAGE`` name the version before, for the story
of an upgrade from there.
"""

import base64
import os
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster import SYSTEM, Cluster
from tests.e2e.release import Release
from tests.e2e.test_cluster import APPLIED, status, task_lines
from tests.e2e.test_shrinking import stub
from tests.support.waiting import wait_until

TASKS = 300
PREVIOUS_CHART = os.environ.get("TASKFLEET_E2E_PREVIOUS_CHART", "")
PREVIOUS_IMAGE = os.environ.get("TASKFLEET_E2E_PREVIOUS_IMAGE", "")


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


def test_an_upgrade_from_the_version_before_loses_no_work(installed: Cluster, release: Release, namespace: str) -> None:
    if not PREVIOUS_CHART or not PREVIOUS_IMAGE:
        pytest.skip("NO EARLIER VERSION: TASKFLEET_E2E_PREVIOUS_CHART and TASKFLEET_E2E_PREVIOUS_IMAGE are to name one")
    repository, _, tag = PREVIOUS_IMAGE.rpartition(":")
    release.upgrade(chart=Path(PREVIOUS_CHART), image={"repository": repository, "tag": tag})

    def controllers() -> set[str]:
        pods = installed.get("pods", "-l", "app.kubernetes.io/component=controller", "-n", SYSTEM)["items"]
        return {str(pod["spec"]["containers"][0]["image"]) for pod in pods}

    wait_until(lambda: controllers() == {PREVIOUS_IMAGE}, "the version before to be there", timeout=90)
    installed.kubectl("apply", "-n", namespace, *APPLIED)
    installed.kubectl("wait", "--for=condition=Ready", "tq/demo", "-n", namespace, "--timeout=30s")
    installed.taskfleet("submit", "demo", "-n", namespace, "-f", "-", stdin=task_lines(TASKS))
    wait_until(lambda: status(installed, namespace).get("completed", 0) > 5, "the first results", timeout=120)
    left = TASKS - int(status(installed, namespace)["completed"])
    release.upgrade()
    wait_until(lambda: PREVIOUS_IMAGE not in controllers(), "this version to be there", timeout=90)
    wait_until(lambda: status(installed, namespace).get("completed") == TASKS, "every task", timeout=300)
    calls = stub(installed, namespace)["calls"]
    again = sum(calls.values()) - TASKS
    print(f"\nupgraded from {PREVIOUS_IMAGE} with {left} of {TASKS} tasks open: {again} calls made again, none lost")
    assert status(installed, namespace)["failed"] == 0
    assert len(calls) == TASKS


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
