"""What the chart promises about secrets, rights and the strictest Pod Security Standard."""

from typing import Any

import pytest
import yaml

from taskfleet.controller.cluster.objects import LABEL_STORE_ACCESS
from tests.support.chart import ALL_ON, Object, of_kind, pod_specs, render


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.mark.parametrize("values", [{}, {"valkey": {"auth": {"existingSecret": "mine"}}}], ids=["made up", "existing"])
def test_a_password_stands_in_a_secret_and_nowhere_else(values: Object) -> None:
    objects = render(values)
    for pod in pod_specs(objects):
        for container in containers(pod):
            for variable in container.get("env", []):
                if variable["name"] == "VALKEY_PASSWORD":
                    assert set(variable) == {"name", "valueFrom"}
                if variable["name"] == "TASKFLEET_STORE_URL":
                    assert variable["value"].startswith("valkey://:$(VALKEY_PASSWORD)@")
    secrets = [each["data"]["password"] for each in objects if each["kind"] == "Secret"]
    everything_else = yaml.safe_dump([each for each in objects if each["kind"] != "Secret"])
    assert all(password not in everything_else for password in secrets)
    assert bool(secrets) == (values == {})


def test_every_pod_keeps_the_restricted_standard_with_a_read_only_root() -> None:
    found = pod_specs(render(ALL_ON))
    assert len(found) == 5
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert all(
            set(volume) <= {"name", "emptyDir", "persistentVolumeClaim", "secret"} for volume in pod.get("volumes", [])
        )
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_only_the_controller_has_a_token() -> None:
    objects = render()
    assert of_kind(objects, "StatefulSet")["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    assert of_kind(objects, "Pod")["spec"]["automountServiceAccountToken"] is False


def test_no_rule_has_a_wildcard_or_lets_a_secret_be_read() -> None:
    roles = [each for each in render() if each["kind"] in ("ClusterRole", "Role")]
    assert len(roles) == 2
    for rule in [rule for role in roles for rule in role["rules"]]:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        if "secrets" in rule["resources"]:
            assert sorted(rule["verbs"]) == ["create", "patch"]


def test_a_role_in_a_namespace_grants_what_the_cluster_role_does() -> None:
    role = of_kind(render({"watchNamespaces": ["a"]}), "Role", "-controller")
    assert role["rules"] == of_kind(render(), "ClusterRole")["rules"]


def test_of_leases_the_controller_may_read_and_write_its_own_and_none_outside_its_namespace() -> None:
    objects = render(release="other", namespace="infra")
    role, binding = of_kind(objects, "Role"), of_kind(objects, "RoleBinding")
    assert (role["metadata"]["namespace"], binding["metadata"]["namespace"]) == ("infra", "infra")
    (container,) = of_kind(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    named, unnamed = role["rules"]
    assert f"--lease=infra/{named['resourceNames'][0]}" in container["args"]
    assert (named["resourceNames"], named["verbs"]) == (["other-taskfleet-controller"], ["get", "update"])
    assert unnamed["verbs"] == ["create"], "a right to create cannot be given for one name"
    assert "leases" not in str(of_kind(objects, "ClusterRole"))


def test_the_store_lets_in_the_pods_with_the_label_that_ours_have_and_calls_nobody() -> None:
    objects = render()
    policy = of_kind(objects, "NetworkPolicy", "-valkey")["spec"]
    ((rule,), (source,)) = policy["ingress"], policy["ingress"][0]["from"]
    label = {LABEL_STORE_ACCESS: "true"}
    assert (source["podSelector"], rule["ports"]) == ({"matchLabels": label}, [{"port": "valkey"}])
    assert (policy["policyTypes"], policy.get("egress")) == (["Ingress", "Egress"], None)
    templates: list[Any] = [of_kind(objects, "Deployment")["spec"]["template"], of_kind(objects, "Pod")]
    assert all(label.items() <= each["metadata"]["labels"].items() for each in templates)
