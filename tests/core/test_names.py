"""Names of what we make fit Kubernetes, whatever people call their pools, and never collide."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.core.names import deployment_name, label_value, pool_selector, store_secret_name, worker_labels

LABEL = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
HOST = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
names = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
dotted_names = st.from_regex(r"\A[a-z0-9]([-.a-z0-9]{0,100}[a-z0-9])?\Z")


@given(names, names)
def test_a_pod_of_a_deployment_still_has_a_name_that_is_a_host_name(pool: str, endpoint: str) -> None:
    assert HOST.match(f"{deployment_name(pool, endpoint)}-0123456789-abcde")


@given(names, names, names, names)
def test_two_endpoints_never_share_a_deployment(pool: str, endpoint: str, other_pool: str, other: str) -> None:
    if (pool, endpoint) != (other_pool, other):
        assert deployment_name(pool, endpoint) != deployment_name(other_pool, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b-c"), ("a-b", "c")),
        (("p" * 60, "x" * 40), ("p" * 60, "x" * 39 + "y")),
        (("a", "store"), ("a-store", "")),
    ],
)
def test_names_that_read_the_same_differ_by_their_hash(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert deployment_name(*one) != deployment_name(*other)


def test_a_short_name_can_be_read() -> None:
    assert deployment_name("demo", "local-llm").startswith("demo-local-llm-")


@given(names)
def test_no_endpoint_takes_the_name_of_the_store_secret(pool: str) -> None:
    assert HOST.match(store_secret_name(pool))


@given(dotted_names, dotted_names)
def test_every_label_value_is_one_and_its_selector_finds_it(pool: str, endpoint: str) -> None:
    labels = worker_labels(pool, endpoint)
    assert all(LABEL.match(value) for value in labels.values())
    for part in pool_selector(pool).split(","):
        key, _, value = part.partition("=")
        assert labels[key] == value


@given(dotted_names, dotted_names)
def test_two_texts_never_share_a_label_value(one: str, other: str) -> None:
    assert (label_value(one) == label_value(other)) == (one == other)
