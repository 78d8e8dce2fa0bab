"""What HPAs are told of pools, and that not knowing is never told as a number."""

from typing import Any

import pytest

from taskfleet.core.errors import InputError
from taskfleet.metricsapi.gate import FrontProxy
from taskfleet.metricsapi.metrics import NoValue, needed_workers, selected

NOW = "2026-01-01T00:00:00Z"


def pool(name: str, queue: str = "demo", needed: int | None = 1) -> dict[str, Any]:
    waits = {"type": "ScalingActive", "status": "False", "message": "the queue is paused"}
    status = {"conditions": [waits]} if needed is None else {"neededReplicas": needed}
    return {"metadata": {"name": name}, "spec": {"queueRef": {"name": queue}}, "status": status}


def values(*pools: dict[str, Any], **wanted: str) -> list[str]:
    return [item["value"] for item in needed_workers(pools, wanted, NOW)["items"]]


def test_a_value_has_the_form_that_kubernetes_asks_for() -> None:
    answer = needed_workers([pool("a", needed=7)], {"pool": "a"}, NOW)
    assert answer == {
        "kind": "ExternalMetricValueList",
        "apiVersion": "external.metrics.k8s.io/v1beta1",
        "metadata": {},
        "items": [
            {
                "metricName": "taskfleet_pool_needed_workers",
                "metricLabels": {"pool": "a", "queue": "demo"},
                "timestamp": NOW,
                "value": "7",
            }
        ],
    }


def test_the_selector_chooses_by_pool_and_by_queue() -> None:
    pools = [pool("a", "x", 1), pool("b", "x", 2), pool("c", "y", 4)]
    assert values(*pools) == ["1", "2", "4"]
    assert values(*pools, queue="x") == ["1", "2"]
    assert values(*pools, queue="x", pool="b") == ["2"]
    assert values(pool("idle", needed=0), pool="idle") == ["0"]


def test_one_unknown_need_makes_the_sum_unknown_and_is_told_with_its_reason() -> None:
    with pytest.raises(NoValue, match="the need of the WorkerPool b is not known: the queue is paused"):
        values(pool("a"), pool("b", needed=None))
    assert values(pool("a"), pool("b", needed=None), pool="a") == ["1"]
    with pytest.raises(NoValue, match="not known: the controller has not looked at it yet"):
        values({**pool("a"), "status": {}})


def test_no_such_pool_is_no_zero() -> None:
    with pytest.raises(NoValue, match="this namespace has no WorkerPool with pool=a"):
        values(pool("b"), pool="a")
    with pytest.raises(NoValue, match="no WorkerPool with any name"):
        values()


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [("", {}), ("pool=a", {"pool": "a"}), ("pool==a,queue=b", {"pool": "a", "queue": "b"})],
)
def test_selectors_of_equality_are_read(selector: str, wanted: dict[str, str]) -> None:
    assert selected(selector) == wanted


@pytest.mark.parametrize("selector", ["app=x", "pool!=a", "pool", "pool in (a,b)", "!pool"])
def test_any_other_selector_is_refused_with_what_is_known(selector: str) -> None:
    with pytest.raises(InputError, match="is not known; select by pool=NAME, queue=NAME or both"):
        selected(selector)


def test_the_front_proxy_is_known_by_its_name_where_names_are_said() -> None:
    certificate: dict[str, object] = {"subject": ((("organizationName", "x"),), (("commonName", "front-proxy"),))}
    assert FrontProxy("ca", frozenset({"front-proxy"})).is_it(certificate)
    assert FrontProxy("ca", frozenset()).is_it(certificate)
    assert not FrontProxy("ca", frozenset({"another"})).is_it(certificate)
    assert not FrontProxy("ca", frozenset()).is_it(None)
