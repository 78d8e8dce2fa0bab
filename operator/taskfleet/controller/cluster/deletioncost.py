"""Which worker pods go first when a Deployment shrinks: those that run the least, by Kubernetes' own annotation."""

import asyncio
import logging
from collections.abc import Mapping

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.cluster.cache import Object, uid_of
from taskfleet.core.names import endpoint_selector
from taskfleet.kube import PODS, KubeClient, KubeError, KubeNotFound

log = logging.getLogger(__name__)

COST = "controller.kubernetes.io/pod-deletion-cost"
_PATH = f"/metadata/annotations/{COST.replace('/', '~1')}"
_WRITES_AT_ONCE = 8


class DeletionCosts:
    """A preference and no promise: whatever goes drains first, so trouble here is told and keeps nobody."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._writes = asyncio.Semaphore(_WRITES_AT_ONCE)

    async def mark(self, pool: WorkerPool, endpoint: Endpoint, inflight: Mapping[str, int]) -> None:
        """Write on each worker of the endpoint how many tasks it runs (``inflight``, by worker; none: nothing)."""
        labels = endpoint_selector(pool.metadata.name, endpoint.name)
        try:
            pods = await self._client.list(PODS, pool.metadata.namespace, labels=labels)
            staying = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
            await asyncio.gather(*(self._write(pod, inflight.get(pod["metadata"]["name"], 0)) for pod in staying))
        except KubeError as error:
            log.warning("the busiest workers could not be marked to go last: %s", error)

    async def _write(self, pod: Object, running: int) -> None:
        meta = pod["metadata"]
        if meta.get("annotations", {}).get(COST, "0") == str(running):
            return
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": uid_of(pod)},
            {"op": "add", "path": _PATH, "value": str(running)},  # our pods have annotations, so there is where to add
        ]
        async with self._writes:
            try:
                await self._client.json_patch(PODS, meta["namespace"], meta["name"], operations)
            except KubeNotFound:
                log.debug("already gone", extra={"pod": meta["name"]})
