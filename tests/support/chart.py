"""The chart as Helm renders it, with Helm's own engine and without a cluster."""

from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[2] / "charts" / "taskfleet"
RELEASE, NAMESPACE = "taskfleet", "taskfleet-system"
# Everything that is off as the chart comes.
ALL_ON: dict[str, Any] = {
    "gateway": {
        "enabled": True,
        "keys": {"existingSecret": "keys"},
        "ingress": {"enabled": True, "host": "llm.example"},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
        "autoscaling": {"enabled": True},
    },
    "externalMetrics": {"enabled": True},
    "controller": {"replicas": 2},
    "serviceMonitor": {"enabled": True},
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "grafana": {"dashboards": {"enabled": True}},
    "valkey": {"podDisruptionBudget": {"enabled": True}},
}

Object = dict[str, Any]


def render(values: Object | None = None, *, release: str = RELEASE, namespace: str = NAMESPACE) -> list[Object]:
    """All objects of the release, also those of `helm test`. Raises HelmError in Helm's words."""
    with helm_python.Chart.load(CHART) as chart:
        rendered = chart.render(values, name=release, namespace=namespace)
    texts = [text for path, text in sorted(rendered.items()) if path.endswith(".yaml")]
    # libyaml: the CRDs are large, and nearly all time of these tests would be the reading of them.
    return [document for text in texts for document in yaml.load_all(text, yaml.CSafeLoader) if document]


def refusal(values: Object, *, release: str = RELEASE, namespace: str = NAMESPACE) -> str:
    """What Helm says to values that it does not take; fails the test when it takes them."""
    try:
        render(values, release=release, namespace=namespace)
    except helm_python.HelmError as error:
        return str(error)
    raise AssertionError(f"Helm takes {values}")


def notes(values: Object | None = None) -> str:
    """What is shown after an installation."""
    with helm_python.Chart.load(CHART) as chart:
        return chart.render(values, name=RELEASE, namespace=NAMESPACE)["taskfleet/templates/NOTES.txt"]


def of_kind(objects: list[Object], kind: str, ending: str = "") -> Object:
    """The one object of a kind whose name ends so."""
    found = [each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(ending)]
    assert len(found) == 1, f"{len(found)} objects {kind} *{ending}"
    return found[0]


def pod_specs(objects: list[Object]) -> list[Object]:
    """Of every pod that the objects are or make."""
    templated = [each["spec"]["template"]["spec"] for each in objects if "template" in each.get("spec", {})]
    return templated + [each["spec"] for each in objects if each["kind"] == "Pod"]
