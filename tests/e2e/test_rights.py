"""What each account of a release may do in the cluster, asked of the API server: this, and nothing besides."""

import json

import pytest

from tests.e2e.cluster import SYSTEM, Cluster

READ = {"list", "watch"}
OWN = READ | {"patch"}
MADE = OWN | {"create", "delete"}
CONTROLLER = {
    "taskqueues": OWN,
    "taskqueues/status": {"patch"},
    "workerpools": OWN,
    "workerpools/status": {"patch"},
    "parallelqueues": OWN,
    "parallelqueues/status": {"patch"},
    "configmaps": {"get"},
    "deployments": MADE,
    "horizontalpodautoscalers": MADE,
    "services": READ,
    "pods": {"list", "patch"},
    "secrets": {"create", "patch"},
    "events": {"create"},
}
# In its own namespace besides; all but the creation of its own Lease alone.
LEASES = {"leases": {"create", "get", "update"}}
# What Kubernetes lets every account do: ask about itself.
ANYBODY = {"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"}


def rights(cluster: Cluster, account: str, namespace: str) -> dict[str, set[str]]:
    """Verbs by resource, without what anybody may do; fails when there may be more than what is told."""
    group = "authorization.k8s.io/v1"
    review = {"apiVersion": group, "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    path = f"/apis/{group}/selfsubjectrulesreviews"
    user = f"--as=system:serviceaccount:{SYSTEM}:{account}"
    groups = [f"--as-group=system:{each}" for each in (f"serviceaccounts:{SYSTEM}", "serviceaccounts", "authenticated")]
    told = json.loads(cluster.kubectl("create", "--raw", path, "-f", "-", user, *groups, stdin=json.dumps(review)))
    assert not told["status"]["incomplete"], told["status"]
    found: dict[str, set[str]] = {}
    for rule in told["status"]["resourceRules"]:
        for resource in set(rule["resources"]) - ANYBODY:
            found.setdefault(resource, set()).update(rule["verbs"])
    return found


def test_the_controller_may_do_this_and_nothing_besides(installed: Cluster) -> None:
    assert rights(installed, "taskfleet-controller", "default") == CONTROLLER
    assert rights(installed, "taskfleet-controller", SYSTEM) == CONTROLLER | LEASES


@pytest.mark.parametrize("namespace", ["default", SYSTEM, "kube-system"])
def test_gateways_and_the_store_and_workers_may_do_nothing(installed: Cluster, namespace: str) -> None:
    """They run as the account that every namespace has."""
    assert rights(installed, "default", namespace) == {}
