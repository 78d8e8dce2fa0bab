"""Pools reach the reconciler with the endpoints that their Services are, however and whenever those are seen."""

from typing import Any

import pytest

from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.cluster.cache import Object, ObjectCache, uid_of
from taskfleet.controller.cluster.feed import DELETED, SERVICE, Feed
from taskfleet.core.conditions import Condition
from taskfleet.core.task import QueueKey
from tests.support.services import NoParallelQueues, searching_pool, service


class Told:
    """A sink that keeps the endpoints' URLs that each pool was last given, and how often."""

    def __init__(self) -> None:
        self.urls: dict[str, list[str]] = {}
        self.said: dict[str, Condition | None] = {}
        self.times = 0

    def set_queue(self, queue: TaskQueue) -> None: ...
    def forget_queue(self, key: QueueKey) -> None: ...
    def touch_pool(self, namespace: str, name: str) -> None: ...

    def set_pool(self, pool: WorkerPool, services: Condition | None = None) -> None:
        self.urls[pool.metadata.name] = [endpoint.url for endpoint in pool.spec.endpoints]
        self.said[pool.metadata.name] = services
        self.times += 1

    def forget_pool(self, namespace: str, name: str) -> None:
        del self.urls[name]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def feed(told: Told) -> Feed:
    caches: Any = {"TaskQueue": ObjectCache(), "WorkerPool": ObjectCache()}
    return Feed(told, NoParallelQueues(), caches, ObjectCache(), ObjectCache(), ObjectCache(), lambda *_: None, set())


ONE, TWO = "http://one.test.svc:11434", "http://two.test.svc:11434"


def test_services_appear_beside_what_is_listed_and_vanish(feed: Feed, told: Told) -> None:
    feed.event("WorkerPool", "ADDED", searching_pool("listed"))
    assert told.urls["pool"] == ["http://listed/v1"]
    one = service("one")
    feed.event(SERVICE, "ADDED", one)
    feed.event(SERVICE, "ADDED", service("two"))
    assert told.urls["pool"] == ["http://listed/v1", ONE, TWO]
    feed.event(SERVICE, DELETED, service("one"))
    assert told.urls["pool"] == ["http://listed/v1", TWO]


def test_a_service_is_followed_through_its_ports_and_labels(feed: Feed, told: Told) -> None:
    feed.event("WorkerPool", "ADDED", searching_pool(discovery={"port": "http"}))
    feed.event(SERVICE, "ADDED", service("one"))
    assert told.urls["pool"] == [ONE]
    feed.event(SERVICE, "MODIFIED", service("one", ports={"http": 8080}))
    assert told.urls["pool"] == ["http://one.test.svc:8080"]
    feed.event(SERVICE, "MODIFIED", service("one", labels={"app": "other"}))
    assert told.urls["pool"] == []
    feed.event(SERVICE, "MODIFIED", service("one"))
    assert told.urls["pool"] == [ONE]


def test_an_edit_of_the_pool_searches_anew(feed: Feed, told: Told) -> None:
    feed.event(SERVICE, "ADDED", service("one"))
    feed.event("WorkerPool", "ADDED", searching_pool())
    assert told.urls["pool"] == [ONE]
    feed.event("WorkerPool", "MODIFIED", searching_pool(discovery={"selector": {"matchLabels": {"app": "vllm"}}}))
    assert told.urls["pool"] == []
    plain = searching_pool("listed")
    del plain["spec"]["discovery"]
    feed.event("WorkerPool", "MODIFIED", plain)
    assert (told.urls["pool"], told.said["pool"]) == (["http://listed/v1"], None)
    times = told.times
    feed.event(SERVICE, "ADDED", service("two"))
    assert told.times == times


def listed(feed: Feed, kind: str, *objects: Object) -> None:
    before = feed.known(kind)
    for each in objects:
        feed.event(kind, None, each)
    feed.listed(kind, before, set(map(uid_of, objects)))


def test_what_went_or_changed_while_nobody_watched_is_in_the_next_list(feed: Feed, told: Told) -> None:
    listed(feed, SERVICE, service("one"), service("two"))
    listed(feed, "WorkerPool", searching_pool())
    assert told.urls["pool"] == [ONE, TWO]
    listed(feed, SERVICE, service("two", ports={"http": 11434, "more": 1}))
    assert told.urls["pool"] == [TWO]
    listed(feed, SERVICE, service("two", labels={}))
    assert told.urls["pool"] == []


def test_a_list_that_is_older_than_the_watch_takes_nothing_back(feed: Feed, told: Told) -> None:
    feed.event("WorkerPool", "ADDED", searching_pool())
    before, old = feed.known(SERVICE), service("one", ports={"http": 1})
    feed.event(SERVICE, "MODIFIED", service("one"))
    feed.event(SERVICE, None, old)
    feed.listed(SERVICE, before, {"uid-one"})
    assert told.urls["pool"] == [ONE]


def test_services_seen_again_and_those_of_other_namespaces_search_nothing_anew(feed: Feed, told: Told) -> None:
    feed.event("WorkerPool", "ADDED", searching_pool())
    one = service("one")
    feed.event(SERVICE, "ADDED", one)
    times = told.times
    feed.event(SERVICE, None, one)
    feed.event(SERVICE, "ADDED", service("far", namespace="elsewhere"))
    assert told.times == times


def test_a_pool_that_is_gone_is_not_brought_back_by_its_services(feed: Feed, told: Told) -> None:
    feed.event("WorkerPool", "ADDED", searching_pool())
    feed.event("WorkerPool", DELETED, searching_pool())
    feed.event(SERVICE, "ADDED", service("one"))
    assert told.urls == {}


def test_the_last_valid_version_of_a_pool_goes_on_following_its_services(feed: Feed, told: Told) -> None:
    feed.event("WorkerPool", "ADDED", searching_pool())
    feed.event("WorkerPool", "MODIFIED", searching_pool(strategy=7))
    feed.event(SERVICE, "ADDED", service("one"))
    assert told.urls["pool"] == [ONE]
