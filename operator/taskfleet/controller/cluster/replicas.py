"""Who writes ``spec.replicas`` of a pool: our part of it (its first and last step), and the HPA that does the rest."""

import logging
from collections.abc import Collection

from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.cluster.cache import Name, ObjectCache, uid_of
from taskfleet.controller.cluster.hpa import holds, pool_autoscaler, second_autoscaler, trouble_of
from taskfleet.controller.world import pool_name
from taskfleet.core.names import autoscaler_name
from taskfleet.core.pool import AutoscalersObserved, AutoscalingMode
from taskfleet.kube import AUTOSCALERS, WORKER_POOLS, KubeClient, KubeForbidden, KubeNotFound, KubeRefused

log = logging.getLogger(__name__)


class ReplicasKeeper:
    """``autoscalers`` are all HPAs that are there, kept up to date by the watch."""

    def __init__(self, client: KubeClient, autoscalers: ObjectCache) -> None:
        self._client = client
        self._autoscalers = autoscalers
        self._refused: dict[Name, str] = {}

    def observe(self, pool: WorkerPool, deployments: Collection[str]) -> AutoscalersObserved:
        """What our own HPA says, and who else scales the pool or one of its ``deployments``."""
        second = second_autoscaler(pool, deployments, self._autoscalers)
        if pool.spec.autoscaling.mode is not AutoscalingMode.HPA:
            return AutoscalersObserved("", second)
        own = self._autoscalers.get(pool.metadata.namespace, autoscaler_name(pool.metadata.name))
        refused = self._refused.get(pool_name(pool), "")
        return AutoscalersObserved(refused or (trouble_of(own) if own else ""), second)

    def forget(self, namespace: str, name: str) -> None:
        """The pool is gone."""
        self._refused.pop((namespace, name), None)

    async def apply(self, pool: WorkerPool, replicas: int | None) -> None:
        """Have ``spec.replicas`` say this (None: nothing), and an HPA exactly when the mode asks for one.

        An HPA goes before the number that it wrote, and comes after the number that it starts from. Raises KubeError.
        """
        if pool.spec.autoscaling.mode is AutoscalingMode.HPA:
            await self._write(pool, replicas)
            await self._ensure(pool)
        else:
            await self._remove(pool)
            await self._write(pool, replicas)

    async def _write(self, pool: WorkerPool, replicas: int | None) -> None:
        """Refused when anything in the spec has changed since we looked: then there is another look to come."""
        if pool.spec.replicas == replicas:
            return
        meta = pool.metadata
        change: dict[str, object] = {"op": "remove"} if replicas is None else {"op": "add", "value": replicas}
        operations: list[dict[str, object]] = [
            {"op": "test", "path": "/metadata/uid", "value": meta.uid},
            {"op": "test", "path": "/metadata/generation", "value": meta.generation},
            {**change, "path": "/spec/replicas"},
        ]
        try:
            await self._client.json_patch(WORKER_POOLS, meta.namespace, meta.name, operations)
        except (KubeRefused, KubeNotFound) as error:
            log.info("spec.replicas not written: %s", error, extra={"pool": f"{meta.namespace}/{meta.name}"})

    async def _ensure(self, pool: WorkerPool) -> None:
        """A quota, a policy or a role that forbids it is nothing that passes by itself: the pool tells of it."""
        wanted = pool_autoscaler(pool)
        live = self._autoscalers.get(pool.metadata.namespace, wanted["metadata"]["name"])
        if live is not None and holds(live, wanted):
            self._refused.pop(pool_name(pool), None)
            return
        try:
            self._autoscalers.saw(await self._client.apply(AUTOSCALERS, wanted))
            self._refused.pop(pool_name(pool), None)
        except (KubeRefused, KubeForbidden) as error:
            self._refused[pool_name(pool)] = f"its HPA cannot be written: {error}"

    async def _remove(self, pool: WorkerPool) -> None:
        name = autoscaler_name(pool.metadata.name)
        live = self._autoscalers.get(pool.metadata.namespace, name)
        if live is None or live["metadata"].get("deletionTimestamp"):
            return
        try:
            await self._client.delete(AUTOSCALERS, pool.metadata.namespace, name, uid=uid_of(live))
        except KubeNotFound:
            log.debug("already gone", extra={"hpa": name})
        self._autoscalers.saw_gone(live)
