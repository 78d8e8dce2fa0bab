"""The test server itself is a real one: RBAC is on, and requests are audited."""

from pathlib import Path

from tests.support.apiserver import ApiServer


def test_a_service_account_may_do_only_what_it_is_given(apiserver: ApiServer, namespace: str, tmp_path: Path) -> None:
    apiserver.kubectl("create", "serviceaccount", "reader", "-n", namespace, check=True)
    role = ("--verb=get", "--resource=configmaps", "-n", namespace)
    apiserver.kubectl("create", "role", "reader", *role, check=True)
    binding = (f"--serviceaccount={namespace}:reader", "--role=reader", "-n", namespace)
    apiserver.kubectl("create", "rolebinding", "reader", *binding, check=True)
    login = apiserver.kubeconfig_of(namespace, "reader", tmp_path / "reader.kubeconfig")

    allowed = apiserver.kubectl("get", "configmap", "none", "-n", namespace, kubeconfig=login)
    refused = apiserver.kubectl("get", "secret", "none", "-n", namespace, kubeconfig=login)

    assert "NotFound" in allowed.stderr
    assert "Forbidden" in refused.stderr
    seen = apiserver.audit(f"system:serviceaccount:{namespace}:reader")
    codes = {event["objectRef"]["resource"]: event["responseStatus"]["code"] for event in seen}
    assert codes["configmaps"] == 404
    assert codes["secrets"] == 403


def test_what_an_owner_leaves_behind_is_collected(apiserver: ApiServer, namespace: str) -> None:
    apiserver.kubectl("create", "configmap", "owner", "-n", namespace, check=True)
    owner = apiserver.get("configmap", "owner", "-n", namespace)["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"]}
    meta = {"name": "child", "namespace": namespace, "ownerReferences": [reference]}
    apiserver.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})

    apiserver.kubectl("delete", "configmap", "owner", "-n", namespace, check=True)

    gone = ("wait", "--for=delete", "configmap/child", "-n", namespace, "--timeout=30s")
    assert apiserver.kubectl(*gone).returncode == 0
