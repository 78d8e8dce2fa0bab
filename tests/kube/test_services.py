"""Which Services are endpoints of a pool, at which address, and what people are told of those that are not."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from taskfleet.api.manifests import load
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.cluster.services import Found, find_endpoints
from tests.support.services import Object, searching_pool, service

SAMPLE = Path(__file__).parents[2] / "manifests" / "samples" / "ollama-discovery.yaml"


def find(*services: Object, listed: tuple[str, ...] = (), **discovery: Any) -> Found:
    pool = WorkerPool.model_validate(searching_pool(*listed, discovery=discovery))
    assert pool.spec.discovery is not None
    return find_endpoints(pool, pool.spec.discovery, services)


def names(found: Found) -> list[str]:
    return [endpoint.name for endpoint in found.endpoints]


@pytest.mark.parametrize(
    ("provider", "url"),
    [
        ("ollama", "http://one.test.svc:11434"),
        ("openai", "http://one.test.svc:11434/v1"),
        ("anthropic", "http://one.test.svc:11434/v1"),
    ],
)
def test_a_service_is_an_endpoint_of_its_name_at_its_address(provider: str, url: str) -> None:
    (endpoint,) = find(service("one"), provider=provider, concurrency=2, maxWorkers=3).endpoints
    assert (endpoint.name, endpoint.url, endpoint.provider) == ("one", url, provider)
    assert (endpoint.models, endpoint.concurrency, endpoint.max_workers) == (["small"], 2, 3)


def test_services_with_all_of_the_labels_count_and_only_those_of_the_namespace() -> None:
    wanted = {"app": "ollama", "tier": "gpu"}
    found = find(
        service("more", labels={**wanted, "team": "red"}),
        service("all", labels=wanted),
        service("half", labels={"app": "ollama"}),
        service("none", labels={}),
        service("elsewhere", labels=wanted, namespace="other"),
        selector={"matchLabels": wanted},
    )
    assert names(found) == ["all", "more"]
    assert found.condition.status == "True"
    assert found.condition.message == "2 Services with the labels app=ollama, tier=gpu"


def test_a_service_that_is_being_deleted_is_as_good_as_gone() -> None:
    assert not find(service("one", deletionTimestamp="2026-01-01T00:00:00Z")).endpoints


def test_a_service_without_labels_or_ports_is_no_trouble() -> None:
    bare = service("bare")
    del bare["metadata"]["labels"]
    portless = service("portless")
    del portless["spec"]["ports"]
    found = find(bare, portless)
    assert not found.endpoints
    assert "portless: it has no TCP port 11434" in found.condition.message


@pytest.mark.parametrize(("port", "number"), [(8000, 8000), ("8000", 8000), ("metrics", 9000)])
def test_a_port_is_found_by_its_number_or_its_name(port: int | str, number: int) -> None:
    (endpoint,) = find(service("one", ports={"http": 8000, "metrics": 9000}), port=port).endpoints
    assert endpoint.url == f"http://one.test.svc:{number}"


def test_a_port_without_a_name_or_protocol_is_found_by_its_number_and_one_of_udp_is_not() -> None:
    one, two = service("one"), service("two")
    one["spec"]["ports"] = [{"port": 11434}]
    two["spec"]["ports"] = [{"port": 11434, "protocol": "UDP"}]
    assert names(find(one, two)) == ["one"]


def test_no_match_says_which_labels_were_looked_for() -> None:
    condition = find(service("one", labels={})).condition
    assert (condition.type, condition.status, condition.reason) == ("ServicesFound", "False", "NoServiceMatches")
    assert condition.message == (
        "no Service of this namespace has the labels app=ollama; add them, or correct spec.discovery.selector"
    )


@pytest.mark.parametrize(
    ("name", "ports", "why"),
    [
        ("listed", None, "listed: spec.endpoints has an endpoint of this name; rename one of them"),
        ("x" * 41, None, f"{'x' * 41}: its name is longer than the 40 characters of an endpoint's; rename it"),
        ("two", {"web": 80}, "two: it has no TCP port 11434; add it, or correct spec.discovery.port"),
    ],
)
def test_a_service_that_cannot_be_used_is_told_and_the_others_are_used(
    name: str, ports: dict[str, int] | None, why: str
) -> None:
    found = find(service("good"), service(name, ports=ports), listed=("listed",))
    assert names(found) == ["good"]
    assert (found.condition.status, found.condition.reason) == ("False", "ServicesUnusable")
    assert found.condition.message == f"1 Service cannot be used: {why}"


def test_a_name_of_40_characters_still_fits() -> None:
    assert names(find(service("x" * 40))) == ["x" * 40]


def test_the_first_100_endpoints_by_name_are_used_and_a_few_of_the_others_named() -> None:
    found = find(*(service(f"s{number:03}") for number in reversed(range(105))), listed=("listed",))
    assert names(found) == [f"s{number:03}" for number in range(99)]
    assert found.condition.message.startswith("6 Services cannot be used: s099: a pool has at most 100 endpoints; ")
    assert found.condition.message.endswith("; and 3 more")


def test_the_sample_finds_the_service_that_it_comes_with() -> None:
    (pool,) = load([SAMPLE]).pools
    assert pool.spec.discovery is not None
    services = [each for each in yaml.safe_load_all(SAMPLE.read_text()) if each["kind"] == "Service"]
    for each in services:
        each["metadata"]["namespace"] = pool.metadata.namespace
    (endpoint,) = find_endpoints(pool, pool.spec.discovery, services).endpoints
    assert endpoint.url == "http://ollama.default.svc:11434"
