"""Looks at the pods of a pool whose workers do not come up, and only then: a healthy pool costs no request."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.cluster.sidecar import cold_start
from taskfleet.controller.cluster.trouble import Object, pods_trouble
from taskfleet.core.names import LABEL_ENDPOINT, label_value, pool_selector
from taskfleet.kube import PODS, KubeClient, KubeError

log = logging.getLogger(__name__)

# Workers are given this long to start before anybody asks why they have not.
PATIENCE_SECONDS = 2.0
LOOK_AGAIN_SECONDS = 5.0


@dataclass(slots=True)
class _Look:
    short_since: float
    looked_at: float = float("-inf")
    troubles: Mapping[str, str] | None = None


class PodInspector:
    """Why workers are missing, by endpoint; asks the API server at most every few seconds a pool."""

    def __init__(self, client: KubeClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._looks: dict[tuple[str, str], _Look] = {}

    def waited(self, namespace: str, name: str) -> bool:
        """Whether workers of the pool were missing just now."""
        return (namespace, name) in self._looks

    async def cold_starts(self, pool: WorkerPool) -> Mapping[str, float]:
        """How long workers with a model server of their own took to come, by endpoint; those that could be seen."""
        try:
            pods = await self._pods(pool)
        except KubeError as error:
            log.warning("cold starts are not measured: %s", error)
            return {}
        names = [endpoint.name for endpoint in pool.spec.endpoints if endpoint.server]
        measured = {name: cold_start(pods[label_value(name)]) for name in names}
        return {name: seconds for name, seconds in measured.items() if seconds is not None}

    def forget(self, namespace: str, name: str) -> None:
        """No worker of the pool is missing, or the pool is gone."""
        self._looks.pop((namespace, name), None)

    async def troubles(self, pool: WorkerPool) -> Mapping[str, str]:
        """The trouble of each endpoint of a pool that misses workers; empty while they may still be starting."""
        now = self._clock()
        look = self._looks.setdefault((pool.metadata.namespace, pool.metadata.name), _Look(now))
        if now - look.short_since >= PATIENCE_SECONDS and now - look.looked_at >= LOOK_AGAIN_SECONDS:
            look.looked_at = now
            look.troubles = await self._ask(pool)
        return look.troubles or {}

    async def _ask(self, pool: WorkerPool) -> Mapping[str, str]:
        try:
            of_endpoint = await self._pods(pool)
        except KubeError as error:
            # The Deployments are seen all the same; that their pods are not is itself what to tell.
            return {endpoint.name: f"cannot look at the pods: {error}" for endpoint in pool.spec.endpoints}
        return {
            endpoint.name: pods_trouble(of_endpoint[label_value(endpoint.name)]) for endpoint in pool.spec.endpoints
        }

    async def _pods(self, pool: WorkerPool) -> defaultdict[str, list[Object]]:
        """The pool's pods by the label of their endpoint."""
        of_endpoint: defaultdict[str, list[Object]] = defaultdict(list)
        for pod in await self._client.list(PODS, pool.metadata.namespace, labels=pool_selector(pool.metadata.name)):
            of_endpoint[pod["metadata"].get("labels", {}).get(LABEL_ENDPOINT, "")].append(pod)
        return of_endpoint
