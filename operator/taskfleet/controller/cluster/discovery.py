"""Pools on their way to the reconciler: with the endpoints that are found for them, and again when those change.

The reconciler sees one list of endpoints and never learns which of them were listed and which were found.
"""

from collections.abc import Callable

from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.cluster.cache import Name, ObjectCache
from taskfleet.controller.cluster.services import find_endpoints
from taskfleet.core.conditions import Condition

SetPool = Callable[[WorkerPool, Condition | None], None]
"""Takes a pool with all of its endpoints and, when it asks for discovery, what people shall read of that."""


class Discovery:
    """``services`` is kept up to date by the watch, and whole before the first pool is seen: a Service that is not in
    it is not there."""

    def __init__(self, services: ObjectCache, set_pool: SetPool) -> None:
        self._services = services
        self._set_pool = set_pool
        self._searching: dict[Name, WorkerPool] = {}

    def set_pool(self, pool: WorkerPool) -> None:
        """Take in a pool as it is now."""
        name = (pool.metadata.namespace, pool.metadata.name)
        if pool.spec.discovery is None:
            self._searching.pop(name, None)
        else:
            self._searching[name] = pool
        self._hand_on(pool)

    def forget_pool(self, namespace: str, name: str) -> None:
        self._searching.pop((namespace, name), None)

    def look_again(self, namespace: str | None = None) -> None:
        """Services changed, or may have, in one namespace or (None) in any."""
        for pool in list(self._searching.values()):
            if namespace in (None, pool.metadata.namespace):
                self._hand_on(pool)

    def _hand_on(self, pool: WorkerPool) -> None:
        if pool.spec.discovery is None:
            self._set_pool(pool, None)
            return
        found = find_endpoints(pool, pool.spec.discovery, self._services)
        spec = pool.spec.model_copy(update={"endpoints": [*pool.spec.endpoints, *found.endpoints]})
        self._set_pool(pool.model_copy(update={"spec": spec}), found.condition)
