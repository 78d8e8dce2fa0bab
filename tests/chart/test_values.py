"""What the chart's values do, and what is refused before anything is installed."""

import copy
import json
import re
from typing import Any

import helm_python
import pytest
import yaml

from tests.support.chart import ALL_ON, CHART, NAMESPACE, Object, notes, of_kind, pod_specs, refusal, render

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def test_helm_lint_finds_nothing_to_correct() -> None:
    report = helm_python.lint(CHART, ALL_ON, strict=True)
    assert [each for each in report["messages"] if "icon" not in each["error"]] == []
    assert report["errors"] == []


def test_the_chart_and_the_package_have_one_version() -> None:
    package = re.search(r'^version = "(.*)"', (CHART.parents[1] / "pyproject.toml").read_text(), re.MULTILINE)
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert package is not None
    assert (described["version"], described["appVersion"]) == (package[1], package[1])


def test_every_value_is_in_the_schema_and_the_schema_knows_no_other() -> None:
    assert names(VALUES) == allowed(SCHEMA) - {"global"}


def names(values: Object, above: str = "") -> set[str]:
    """All values by their whole name; what users fill in freely counts as one."""
    found = set()
    for name, value in values.items():
        whole = f"{above}{name}"
        found.add(whole)
        if isinstance(value, dict) and not whole.endswith("resources"):
            found |= names(value, f"{whole}.")
    return found


def allowed(schema: Object, above: str = "") -> set[str]:
    schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if above.endswith("resources."):
        return set()
    found = set()
    for name, inner in schema.get("properties", {}).items():
        found |= {f"{above}{name}"} | allowed(inner, f"{above}{name}.")
    return found


def test_as_it_comes_it_serves_the_whole_cluster_with_a_valkey_that_has_a_password() -> None:
    objects = render()
    kinds = sorted(each["kind"] for each in objects if "helm.sh/hook" not in each["metadata"].get("annotations", {}))
    assert kinds == [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "CustomResourceDefinition",
        "CustomResourceDefinition",
        "Deployment",
        "NetworkPolicy",
        "NetworkPolicy",
        "Role",
        "RoleBinding",
        "Secret",
        "Service",
        "Service",
        "ServiceAccount",
        "StatefulSet",
    ]
    assert re.fullmatch(r"[A-Za-z0-9+/=]{40,}", of_kind(objects, "Secret")["data"]["password"])


def test_two_installations_have_two_passwords() -> None:
    one, other = (of_kind(render(), "Secret")["data"]["password"] for _ in range(2))
    assert one != other


def test_monitoring_and_budgets_are_off_until_they_are_asked_for() -> None:
    monitoring = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap", "PodDisruptionBudget"}
    assert not monitoring & {each["kind"] for each in render()}
    assert monitoring <= {each["kind"] for each in render(ALL_ON)}


def test_monitors_and_rules_have_the_labels_that_prometheus_looks_for() -> None:
    values = copy.deepcopy(ALL_ON)
    for name in ("serviceMonitor", "podMonitor", "prometheusRule"):
        values[name]["labels"] = {"release": "kube-prometheus-stack"}
    objects = render(values)
    monitors = [each for each in objects if each["kind"] in ("ServiceMonitor", "PodMonitor", "PrometheusRule")]
    assert len(monitors) == 4
    assert {each["metadata"]["labels"]["release"] for each in monitors} == {"kube-prometheus-stack"}


def test_dashboards_have_the_label_of_the_sidecar() -> None:
    values = {"grafana": {"dashboards": {"enabled": True, "label": "boards", "labelValue": "yes"}}}
    boards = [each for each in render(values) if each["kind"] == "ConfigMap"]
    assert len(boards) == 5
    assert {each["metadata"]["labels"]["boards"] for each in boards} == {"yes"}
    for each in boards:
        (content,) = each["data"].values()
        assert json.loads(content)["uid"].startswith("taskfleet-")


def test_several_controllers_are_kept_apart_and_not_drained_all_at_once() -> None:
    one, two = render(), render({"controller": {"replicas": 2}})
    assert not [each for each in one if each["kind"] == "PodDisruptionBudget"]
    assert "affinity" not in of_kind(one, "Deployment")["spec"]["template"]["spec"]
    budget, deployment = of_kind(two, "PodDisruptionBudget"), of_kind(two, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["replicas"] == 2
    assert budget["spec"]["maxUnavailable"] == 1
    rules = deployment["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
    (preferred,) = rules["preferredDuringSchedulingIgnoredDuringExecution"]
    for selector in (budget["spec"]["selector"], preferred["podAffinityTerm"]["labelSelector"]):
        assert selector["matchLabels"].items() <= labels.items()


def test_the_affinity_of_the_values_takes_the_place_of_ours() -> None:
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    objects = render({"controller": {"replicas": 2, "affinity": affinity}})
    assert of_kind(objects, "Deployment")["spec"]["template"]["spec"]["affinity"] == affinity


def test_a_new_controller_stands_by_before_the_old_one_ends() -> None:
    strategy = of_kind(render(), "Deployment")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def test_with_a_list_of_namespaces_there_is_a_role_in_each_and_no_right_outside() -> None:
    objects = render({"watchNamespaces": ["team-a", "team-b"]})
    objects = [each for each in objects if not each["metadata"]["name"].endswith("-lease")]
    kinds = {each["kind"] for each in objects}
    assert not {"ClusterRole", "ClusterRoleBinding"} & kinds
    for kind in ("Role", "RoleBinding"):
        assert {each["metadata"]["namespace"] for each in objects if each["kind"] == kind} == {"team-a", "team-b"}
    (subject,) = of_kind([each for each in objects if each["metadata"].get("namespace") == "team-b"], "RoleBinding")[
        "subjects"
    ]
    assert subject["namespace"] == NAMESPACE
    (container,) = of_kind(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["args"] == [
        "controller",
        "--lease=taskfleet-system/taskfleet-controller",
        "--namespace=team-a,team-b",
    ]
    assert of_kind(objects, "TaskQueue")["metadata"]["namespace"] == "team-a", "helm test uses one that is served"


def test_a_store_of_ones_own_comes_from_its_secret_and_brings_no_valkey() -> None:
    values = {"valkey": {"enabled": False}, "store": {"existingSecret": "my-store", "existingSecretKey": "address"}}
    objects = render(values)
    assert not [each for each in objects if "valkey" in each["metadata"]["name"]]
    for pod in pod_specs(objects):
        for container in pod.get("initContainers", []) + pod["containers"]:
            (url,) = [each for each in container["env"] if each["name"] == "TASKFLEET_STORE_URL"]
            assert url["valueFrom"]["secretKeyRef"] == {"name": "my-store", "key": "address"}
            (authority,) = [each for each in container["env"] if each["name"] == "TASKFLEET_STORE_CA"]
            assert authority["valueFrom"]["secretKeyRef"] == {"name": "my-store", "key": "ca.crt", "optional": True}


def test_a_digest_wins_over_a_tag_for_the_controller_its_workers_and_the_tests() -> None:
    digest = f"sha256:{'ab' * 32}"
    objects = render({"image": {"repository": "registry.example/taskfleet", "tag": "9", "digest": digest}})
    (container,) = of_kind(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    whole = f"registry.example/taskfleet@{digest}"
    assert container["image"] == whole
    assert {"name": "TASKFLEET_WORKER_IMAGE", "value": whole} in container["env"]
    assert of_kind(objects, "Pod")["spec"]["containers"][0]["image"] == whole


def test_crds_are_templates_so_that_an_upgrade_brings_the_new_ones_and_stay_when_the_release_goes() -> None:
    kept = [each for each in render() if each["kind"] == "CustomResourceDefinition"]
    assert [each["metadata"]["annotations"]["helm.sh/resource-policy"] for each in kept] == ["keep"] * 3
    sources = {path.name: yaml.safe_load(path.read_text()) for path in CHART.parents[1].glob("crds/*.yaml")}
    assert [each["spec"] for each in kept] == [sources[name]["spec"] for name in sorted(sources)]
    going = [each for each in render({"crds": {"keep": False}}) if each["kind"] == "CustomResourceDefinition"]
    assert [each["metadata"].get("annotations") for each in going] == [None] * 3
    assert "CustomResourceDefinition" not in {each["kind"] for each in render({"crds": {"enabled": False}})}


def test_names_fit_however_long_the_release_is_called() -> None:
    for release in ("taskfleet", "t", "a" * 53):
        for each in render(ALL_ON, release=release):
            assert len(each["metadata"]["name"]) <= 63, each["metadata"]["name"]
        name = of_kind(render(release=release), "StatefulSet")["metadata"]["name"]
        assert len(f"{name}-0123456789") <= 63, "its pods have the name and a hash in a label"


def test_selectors_hold_nothing_that_an_upgrade_changes() -> None:
    objects = render()
    for kind in ("Deployment", "StatefulSet"):
        assert set(of_kind(objects, kind)["spec"]["selector"]["matchLabels"]) == {
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/component",
        }


def test_the_notes_say_the_next_command_and_warn_of_what_may_be_lost() -> None:
    assert "helm test taskfleet -n taskfleet-system" in notes()
    assert "lost" not in notes()
    assert "are lost with Valkey's pod" in notes({"valkey": {"persistence": {"enabled": False}}})
    assert "has no password" in notes({"valkey": {"auth": {"enabled": False}}})
    assert "Only these namespaces are served: team-a." in notes({"watchNamespaces": ["team-a"]})


GUARDS: list[tuple[Any, str]] = [
    ({"valkey": {"enabled": False}}, "There is no store: valkey.enabled is false and store.existingSecret is empty."),
    ({"store": {"existingSecret": "mine"}}, "There are two stores"),
    ({"valkey": {"auth": {"enabled": False, "existingSecret": "s"}}}, "valkey.auth.existingSecret names a password"),
    (
        {"valkey": {"persistence": {"enabled": False, "existingClaim": "c"}}},
        "valkey.persistence.existingClaim names a volume",
    ),
    (
        {"valkey": {"persistence": {"storageClass": "fast", "existingClaim": "c"}}},
        "valkey.persistence.storageClass is for a new volume",
    ),
    (
        {"externalMetrics": {"enabled": True, "existingSecret": "mine"}},
        "externalMetrics.existingSecret names a certificate, and nothing tells the API server who signed it",
    ),
    ({"serviceAccount": {"create": False}}, "set serviceAccount.name to the account"),
    ({"valkey": {"maxmemory": "1gb"}}, "valkey.maxmemory (1gb) must be below valkey.resources.limits.memory (1Gi)"),
    (
        {"valkey": {"resources": {"limits": {"memory": "512Mi"}}}},
        "must be below valkey.resources.limits.memory (512Mi)",
    ),
    (
        {"valkey": {"auth": {"enabled": False}}, "networkPolicy": {"enabled": False}},
        "Valkey would have no password (valkey.auth.enabled=false) and no NetworkPolicy",
    ),
]


@pytest.mark.parametrize(("values", "sentence"), GUARDS, ids=[sentence[:40] for _, sentence in GUARDS])
def test_what_would_install_and_then_not_work_is_refused_in_a_sentence(values: Object, sentence: str) -> None:
    assert sentence in refusal(values)


@pytest.mark.parametrize("name", ["A", "a_b", "a.b", "-a", "a-", "1a", "ü", "$(id)", "../x", "a\nb", "{{.}}", "a b"])
def test_a_release_whose_objects_could_not_be_called_so_is_refused_in_a_sentence(name: str) -> None:
    assert "Choose another name" in refusal({}, release=name)


@pytest.mark.parametrize("name", ["123", "true", "null", "A", "a b", "$(id)", "1e3", "a\nb"])
def test_a_namespace_that_is_none_or_that_yaml_takes_for_a_number_is_refused_in_a_sentence(name: str) -> None:
    assert "Choose another name" in refusal({}, namespace=name)


def test_a_namespace_to_watch_is_not_taken_for_a_number() -> None:
    assert "Choose another name" in refusal({"watchNamespaces": ["team-a", "007"]})


REFUSED: list[tuple[Any, str]] = [
    ({"replicas": 3}, "additional properties 'replicas' not allowed"),
    ({"controller": {"replicas": 0}}, "/controller/replicas"),
    ({"controller": {"replicas": "2"}}, "/controller/replicas"),
    ({"image": "taskfleet:1"}, "/image"),
    ({"image": {"tag": 1.5}}, "/image/tag"),
    ({"image": {"tag": "a b"}}, "/image/tag"),
    ({"image": {"digest": "sha256:abc"}}, "/image/digest"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ({"image": {"repository": ""}}, "/image/repository"),
    ({"imagePullSecrets": ["one"]}, "/imagePullSecrets/0"),
    ({"watchNamespaces": "team-a"}, "/watchNamespaces"),
    ({"watchNamespaces": ["Team_A"]}, "/watchNamespaces/0"),
    ({"watchNamespaces": ["a", "a"]}, "/watchNamespaces"),
    ({"watchNamespaces": ["a,b"]}, "/watchNamespaces/0"),
    ({"imagePullSecrets": [{"name": ""}]}, "/imagePullSecrets/0/name"),
    ({"fullnameOverride": "x" * 41}, "/fullnameOverride"),
    ({"controller": {"podLabels": {"a b": "c"}}}, "'a b' does not match pattern"),
    ({"controller": {"resources": {"limits": {"memory": "lots"}}}}, "/controller/resources/limits/memory"),
    ({"nameOverride": "Bad Name"}, "/nameOverride"),
    ({"nameOverride": "taskfleet-worker"}, "/nameOverride"),  # by which the controller knows its workers
    ({"fullnameOverride": "x\ny"}, "/fullnameOverride"),
    ({"crds": {"enabled": "yes"}}, "/crds/enabled"),
    ({"valkey": {"appendfsync": "no"}}, "/valkey/appendfsync"),
    ({"valkey": {"appendfsync": "everysec\nrename-command"}}, "/valkey/appendfsync"),
    ({"valkey": {"maxmemory": "lots"}}, "/valkey/maxmemory"),
    ({"valkey": {"maxmemory": 768}}, "/valkey/maxmemory"),
    ({"valkey": {"image": {"tag": ""}}}, "/valkey/image/tag"),
    ({"valkey": {"persistence": {"size": "8 GB"}}}, "/valkey/persistence/size"),
    ({"valkey": {"password": "hunter2"}}, "additional properties 'password' not allowed"),
    ({"valkey": {"auth": {"password": "hunter2"}}}, "additional properties 'password' not allowed"),
    ({"store": {"url": "valkey://x"}}, "additional properties 'url' not allowed"),
    ({"store": {"existingSecret": "My Secret"}}, "/store/existingSecret"),
    ({"controller": {"podLabels": {"app.kubernetes.io/name": "mine"}}}, "app.kubernetes.io/name"),
    ({"controller": {"podLabels": {"team": "not a label"}}}, "/controller/podLabels/team"),
    ({"controller": {"extraEnv": [{"name": "TASKFLEET_STORE_URL", "value": "x"}]}}, "/controller/extraEnv/0/name"),
    ({"controller": {"extraEnv": {"A": "b"}}}, "/controller/extraEnv"),
    ({"controller": {"resources": {"memory": "1Gi"}}}, "/controller/resources"),
    ({"controller": {"tolerations": {}}}, "/controller/tolerations"),
    ({"serviceMonitor": {"enabled": True, "interval": "often"}}, "/serviceMonitor/interval"),
    ({"prometheusRule": {"alerts": {"NoSuchAlert": {"enabled": False}}}}, "additional properties 'NoSuchAlert'"),
    ({"prometheusRule": {"alerts": {"TaskfleetStoreDown": {"for": "soon"}}}}, "TaskfleetStoreDown/for"),
    ({"prometheusRule": {"alerts": {"TaskfleetOldestTaskTooOld": {"threshold": "1h"}}}}, "threshold"),
    ({"networkPolicy": True}, "/networkPolicy"),
]


@pytest.mark.parametrize(("values", "where"), REFUSED, ids=[json.dumps(values)[:60] for values, _ in REFUSED])
def test_a_value_that_makes_no_sense_is_refused_by_its_name(values: Object, where: str) -> None:
    assert where in refusal(values)


def test_a_value_that_is_taken_away_is_missed_by_its_name() -> None:
    """``null`` removes a default, and a template would stumble over the hole."""
    for name in sorted(names(VALUES)):
        *above, last = name.split(".")
        values: Object = {last: None}
        for outer in reversed(above):
            values = {outer: values}
        assert f"missing property '{last}'" in refusal(values), name
