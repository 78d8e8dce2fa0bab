"""From what the API server shows to what the reconciler knows: the newest valid object of each of our kinds."""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from pydantic import ValidationError

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.cluster.cache import Object, ObjectCache, name_of, uid_of, version_of
from taskfleet.controller.cluster.discovery import Discovery
from taskfleet.controller.cluster.hpa import target_deployment, target_pool
from taskfleet.controller.fleet import Kind
from taskfleet.core.conditions import Condition
from taskfleet.core.names import GROUP
from taskfleet.core.task import QueueKey

log = logging.getLogger(__name__)

DELETED = "DELETED"
"""The type of a watch event that says so; every other type brings the newest version."""

DEPLOYMENT = "Deployment"
SERVICE = "Service"
AUTOSCALER = "HorizontalPodAutoscaler"
_KINDS: dict[str, Kind] = {"TaskQueue": "TaskQueue", "WorkerPool": "WorkerPool", "ParallelQueue": "ParallelQueue"}


class Sink(Protocol):
    """What the reconciler takes from a watch. Every call is cheap and may come at any time, in any order."""

    def set_queue(self, queue: TaskQueue) -> None: ...
    def forget_queue(self, key: QueueKey) -> None: ...
    def set_pool(self, pool: WorkerPool, services: Condition | None = None) -> None: ...
    def forget_pool(self, namespace: str, name: str) -> None: ...
    def touch_pool(self, namespace: str, name: str) -> None: ...


class ParallelSink(Protocol):
    """What drives ParallelQueues takes from a watch."""

    def set(self, queue: ParallelQueue) -> None: ...
    def forget(self, namespace: str, name: str) -> None: ...


class Feed:
    """Takes watch events and whole lists, in any order and more than once.

    ``invalid`` is called with an object that no API server with today's schema would have let in (it dates from an
    older one), its kind, and what is wrong. Such an object is not given to the reconciler: the last valid version
    of it stays in force. ``invalid_uids`` is kept up to date for whoever must not write over what is said of them.
    """

    def __init__(
        self,
        sink: Sink,
        parallel: ParallelSink,
        caches: dict[Kind, ObjectCache],
        deployments: ObjectCache,
        services: ObjectCache,
        autoscalers: ObjectCache,
        invalid: Callable[[Kind, Object, str], None],
        invalid_uids: set[str],
    ) -> None:
        self._sink = sink
        self._parallel = parallel
        self._invalid_uids = invalid_uids
        self._discovery = Discovery(services, sink.set_pool)
        own = {str(kind): cache for kind, cache in caches.items()}
        self._caches: dict[str, ObjectCache] = {
            DEPLOYMENT: deployments,
            SERVICE: services,
            AUTOSCALER: autoscalers,
            **own,
        }
        self._invalid = invalid

    def event(self, kind: str, event_type: str | None, obj: Object) -> None:
        """One watch event."""
        cache = self._caches[kind]
        before = cache.get(*name_of(obj))
        if event_type == DELETED:
            if cache.saw_gone(obj):
                self._gone(kind, obj)
        elif cache.saw(obj):
            if kind == SERVICE and before is not None and version_of(before) == version_of(obj):
                return  # a namespace may have thousands, and each would have every pool searched for anew
            self._there(kind, obj)
            if kind == DEPLOYMENT and before is not None:
                self._touch_owner(before)  # it may just have lost its owner

    def known(self, kind: str) -> list[Object]:
        return list(self._caches[kind])

    def listed(self, kind: str, known_before: Sequence[Object], uids: Collection[str]) -> None:
        """A whole list, each of whose objects came as an event; what was ``known_before`` has gone unnoticed if its uid
        is not in it."""
        for obj in self._caches[kind].missed(known_before, uids):
            log.info("gone while nobody watched", extra={"kind": kind, "object": "/".join(name_of(obj))})
            self._gone(kind, obj)

    def _there(self, kind: str, obj: Object) -> None:
        if kind == DEPLOYMENT:
            self._touch_owner(obj)
            return
        if kind == SERVICE:
            self._discovery.look_again(obj["metadata"]["namespace"])
            return
        if kind == AUTOSCALER:
            self._touch_target(obj)
            return
        kept = self._caches[kind].get(*name_of(obj)) or obj
        whole = {**obj, "status": kept.get("status", {})}  # once in memory
        try:
            if kind == "TaskQueue":
                self._sink.set_queue(TaskQueue.model_validate(whole))
            elif kind == "WorkerPool":
                self._discovery.set_pool(WorkerPool.model_validate(whole))
            else:
                self._parallel.set(ParallelQueue.model_validate(whole))
            self._invalid_uids.discard(uid_of(obj))
        except ValidationError as error:
            self._invalid_uids.add(uid_of(obj))
            self._invalid(_KINDS[kind], obj, _words(error))

    def _gone(self, kind: str, obj: Object) -> None:
        namespace, name = name_of(obj)
        self._invalid_uids.discard(uid_of(obj))
        if kind == "TaskQueue":
            self._sink.forget_queue(QueueKey(namespace, name))
        elif kind == "WorkerPool":
            self._discovery.forget_pool(namespace, name)
            self._sink.forget_pool(namespace, name)
        elif kind == "ParallelQueue":
            self._parallel.forget(namespace, name)
        elif kind == SERVICE:
            self._discovery.look_again(namespace)
        elif kind == AUTOSCALER:
            self._touch_target(obj)
        else:
            self._touch_owner(obj)

    def _touch_target(self, autoscaler: Object) -> None:
        namespace = autoscaler["metadata"]["namespace"]
        scaled = self._caches[DEPLOYMENT].get(namespace, target_deployment(autoscaler) or "")
        if scaled is not None:
            self._touch_owner(scaled)
        pool = target_pool(autoscaler)
        if pool is not None:
            self._sink.touch_pool(namespace, pool)

    def _touch_owner(self, deployment: Object) -> None:
        for owner in deployment["metadata"].get("ownerReferences", ()):
            if owner.get("kind") == "WorkerPool" and str(owner.get("apiVersion", "")).startswith(f"{GROUP}/"):
                self._sink.touch_pool(deployment["metadata"]["namespace"], owner["name"])


def _words(error: ValidationError) -> str:
    """Every problem as ``field: message``."""

    def words(problem: Any) -> str:
        where = ".".join(str(part) for part in problem["loc"])
        return f"{where}: {problem['msg']}" if where else str(problem["msg"])

    return "; ".join(words(problem) for problem in error.errors(include_url=False, include_input=False))
