"""The chart against a real API server: every object is one that it takes, and the narrow role is enough."""

import contextlib
import json
from typing import Any

import helm_python
import pytest
import yaml

from tests.apiserver.site import Site
from tests.support.apiserver import ApiServer
from tests.support.chart import ALL_ON, CHART, RELEASE, of_kind, render

# The custom resources of the Prometheus operator and of the Gateway API are not there.
OTHERS = ("monitoring.coreos.com/", "gateway.networking.k8s.io/")
AFFINITY = {
    "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}
        ]
    }
}
CHOICES: dict[str, Any] = {
    "as it comes": {},
    "everything on": ALL_ON,
    "a certificate of one's own": {
        "externalMetrics": {
            "enabled": True,
            "existingSecret": "mine",
            "annotations": {"cert-manager.io/inject-ca-from": "a/b"},
        }
    },
    "a single gateway": {
        "gateway": {
            "enabled": True,
            "keys": {"existingSecret": "keys"},
            "replicas": 1,
            "files": {"persistence": {"accessMode": "ReadWriteOnce", "storageClass": "disk"}},
            "podLabels": {"team": "llm"},
            "service": {"type": "LoadBalancer"},
            "ingress": {"enabled": True, "host": "llm.example", "tlsSecret": "cert", "className": "nginx"},
        }
    },
    "another store": {"valkey": {"enabled": False}, "store": {"existingSecret": "mine"}},
    "an existing claim": {"valkey": {"persistence": {"existingClaim": "mine"}}},
    "no volume": {"valkey": {"persistence": {"enabled": False}}},
    "placed": {
        "imagePullSecrets": [{"name": "pull"}],
        "controller": {
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "llm", "operator": "Exists"}],
            "affinity": AFFINITY,
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
            "podLabels": {"team": "llm"},
            "podAnnotations": {"a": "b"},
        },
        "valkey": {"podLabels": {"team": "llm"}, "podAnnotations": {"a": "b"}, "appendfsync": "always"},
    },
}


@pytest.mark.parametrize("choice", list(CHOICES))
def test_the_api_server_takes_every_object_in_a_restricted_namespace(
    crds: ApiServer, namespace: str, choice: str
) -> None:
    crds.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/warn=restricted", check=True)
    for account in ("default", "taskfleet-controller"):  # of the pods; nothing here makes the one that is always there
        crds.kubectl("create", "serviceaccount", account, "-n", namespace)
    objects = [
        each for each in render(CHOICES[choice], namespace=namespace) if not each["apiVersion"].startswith(OTHERS)
    ]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    applied = crds.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=listed)
    assert applied.returncode == 0, applied.stderr
    assert "would violate PodSecurity" not in applied.stderr
    assert len(applied.stdout.splitlines()) == len(objects)


def test_a_role_in_one_namespace_is_all_that_a_controller_of_it_needs(narrow: Site) -> None:
    controller = narrow.start_controller()
    narrow.apply(narrow.queue(), narrow.pool())
    narrow.submit()
    narrow.until(lambda: narrow.replicas() == 1, "a worker for the task")
    narrow.finish_all()
    narrow.until(lambda: narrow.replicas() == 0, "no worker without a task")
    narrow.delete("TaskQueue")
    narrow.until(lambda: narrow.get("TaskQueue") is None, "the queue to be released")
    assert [line for line in controller.lines if "forbidden" in str(line)] == []


@pytest.mark.parametrize(
    ("args", "strategy"), [(["controller"], "Recreate"), (["controller", "--lease=a/b"], "RollingUpdate")]
)
def test_a_controller_that_knows_no_lease_ends_before_the_new_one_starts(
    crds: ApiServer, namespace: str, args: list[str], strategy: str
) -> None:
    deployment = of_kind(render(namespace=namespace), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["args"] = args
    crds.apply(deployment)

    helm = helm_python.Config(kubeconfig_path=str(crds.kubeconfig), namespace=namespace)
    with contextlib.closing(helm), helm_python.Chart.load(CHART) as chart:
        rendered = helm.render(chart, name=RELEASE, namespace=namespace)
    planned = yaml.safe_load(rendered["taskfleet/templates/controller/deployment.yaml"])
    assert planned["spec"]["strategy"]["type"] == strategy
