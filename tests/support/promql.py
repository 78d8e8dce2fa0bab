"""What a query asks for: its metrics, its labels and their values, found in its text."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# What Grafana puts in place of its variables.
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$namespace": ".*", "$queue": ".*", "$pool": ".*"}


def plain(expression: str, variables: Mapping[str, str] = VARIABLES) -> str:
    """The query with Grafana's variables filled in. AssertionError for one that nobody fills in."""
    for variable, value in variables.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, f"unknown variable in {expression}"
    return expression


@dataclass(frozen=True)
class Asked:
    """A metric with the label names, and the values of those that are compared with one."""

    metric: str
    labels: frozenset[str]
    values: tuple[tuple[str, str], ...]


def selectors(expression: str) -> list[Asked]:
    """Every selector of a metric of ours in a query."""
    found = []
    for metric, inside in re.findall(r"\b(taskfleet_\w+)(?:\{([^}]*)\})?", expression):
        matchers = re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', inside)
        labels = frozenset(name for name, _, _ in matchers)
        found.append(Asked(metric, labels, tuple((name, value) for name, sign, value in matchers if sign == "=")))
    return found


def grouped_by(expression: str) -> set[str]:
    """The labels in every ``by (...)`` and ``on (...)``."""
    groups = re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
    return {name.strip() for group in groups for name in group.split(",")}
