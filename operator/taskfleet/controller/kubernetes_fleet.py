"""Workers as Deployments: one for each endpoint of a pool, written only when the world differs from the plan."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from taskfleet.api.workerpool import Endpoint, WorkerPool
from taskfleet.controller.fleet import FleetState
from taskfleet.controller.kubernetes_cache import Name, Object, ObjectCache, name_of, uid_of
from taskfleet.controller.kubernetes_objects import WorkerDefaults, digest, store_secret, worker_deployment
from taskfleet.controller.kubernetes_pods import PodInspector
from taskfleet.controller.kubernetes_trouble import deployment_trouble
from taskfleet.core.names import deployment_name, store_secret_name
from taskfleet.core.plan import Plan
from taskfleet.kube import DEPLOYMENTS, SECRETS, KubeClient, KubeError, KubeNotFound

log = logging.getLogger(__name__)

Environment = Callable[[WorkerPool, Endpoint], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class _Applied:
    """What we last wrote: its fingerprint, and the generation it has as long as nobody else writes."""

    digest: str
    uid: str
    generation: int
    replicas: int


class KubernetesFleet:
    """The Fleet of a cluster. ``deployments`` is kept up to date by the watch."""

    def __init__(
        self, client: KubeClient, deployments: ObjectCache, defaults: WorkerDefaults, environment: Environment
    ) -> None:
        self._client = client
        self._deployments = deployments
        self._defaults = defaults
        self._environment = environment
        self._inspector = PodInspector(client)
        self._applied: dict[Name, _Applied] = {}
        self._secrets: dict[Name, str] = {}

    async def observe(self, pool: WorkerPool) -> Mapping[str, FleetState]:
        """From the cache; pods are asked for only while workers are missing."""
        states = {endpoint.name: self._state(pool, endpoint) for endpoint in pool.spec.endpoints}
        if all(state.ready >= state.workers for state in states.values()):
            self._inspector.all_is_well(pool)
            return states
        troubles = await self._inspector.troubles(pool)
        secret = store_secret_name(pool.metadata.name)
        if any(secret in trouble for trouble in troubles.values()):
            # Somebody deleted it. We may not read Secrets, so this is how we learn of it: write it again.
            self._secrets.pop((pool.metadata.namespace, secret), None)
        return {
            name: state
            if state.trouble or state.ready >= state.workers
            else FleetState(state.workers, state.ready, troubles.get(name, ""))
            for name, state in states.items()
        }

    async def apply(self, pool: WorkerPool, plan: Plan) -> None:
        """One endpoint's trouble does not keep the others from their workers; the first is raised at the end."""
        if pool.metadata.deletion_timestamp:
            return  # its Deployments go with it; a write would only race with the garbage collector
        errors: list[KubeError] = []
        workers = {decision.name: decision.workers for decision in plan.endpoints}
        for endpoint in pool.spec.endpoints:
            try:
                await self._ensure_secret(pool)
                await self._ensure_deployment(pool, endpoint, workers.get(endpoint.name, 0))
            except KubeError as error:
                errors.append(error)
        for deployment in self._left_over(pool):
            try:
                await self._remove(deployment)
            except KubeError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    async def remove(self, namespace: str, name: str) -> None:
        """Nothing to delete: owner references do it. What we remember of the pool is forgotten."""
        ours = [deployment for deployment in self._deployments if _owner_name(deployment) == name]
        for deployment in ours:
            if name_of(deployment)[0] == namespace:
                self._applied.pop(name_of(deployment), None)
        self._secrets.pop((namespace, store_secret_name(name)), None)

    def _state(self, pool: WorkerPool, endpoint: Endpoint) -> FleetState:
        name = (pool.metadata.namespace, deployment_name(pool.metadata.name, endpoint.name))
        live = self._deployments.get(*name)
        if live is None:
            return FleetState()
        applied = self._applied.get(name)
        # What we asked for, not what somebody else made of it: that is drift, to be repaired and not to be planned on.
        workers = applied.replicas if applied and applied.uid == uid_of(live) else live["spec"].get("replicas", 0)
        ready = live.get("status", {}).get("readyReplicas", 0)
        return FleetState(workers, ready, deployment_trouble(live))

    async def _ensure_secret(self, pool: WorkerPool) -> None:
        manifest = store_secret(pool, self._defaults)
        name, wanted = name_of(manifest), digest(manifest)
        if self._secrets.get(name) != wanted:
            await self._client.apply(SECRETS, manifest)
            self._secrets[name] = wanted

    async def _ensure_deployment(self, pool: WorkerPool, endpoint: Endpoint, replicas: int) -> None:
        manifest = worker_deployment(
            pool, endpoint, replicas, environment=self._environment(pool, endpoint), defaults=self._defaults
        )
        name, wanted = name_of(manifest), digest(manifest)
        applied, live = self._applied.get(name), self._deployments.get(*name)
        if applied and live and applied.digest == wanted and not _drifted(live, applied, pool):
            return
        if applied and live and applied.digest == wanted:
            log.info("drift repaired", extra={"namespace": name[0], "deployment": name[1]})
        written = await self._client.apply(DEPLOYMENTS, manifest)
        self._deployments.saw(written)
        self._applied[name] = _Applied(wanted, uid_of(written), written["metadata"]["generation"], replicas)

    def _left_over(self, pool: WorkerPool) -> list[Object]:
        """Deployments of endpoints that left the pool."""
        wanted = {deployment_name(pool.metadata.name, endpoint.name) for endpoint in pool.spec.endpoints}
        return [
            deployment
            for deployment in self._deployments
            if _owner_uid(deployment) == pool.metadata.uid and name_of(deployment)[1] not in wanted
        ]

    async def _remove(self, deployment: Object) -> None:
        namespace, name = name_of(deployment)
        if deployment["metadata"].get("deletionTimestamp"):
            return
        try:
            await self._client.delete(DEPLOYMENTS, namespace, name, uid=uid_of(deployment))
        except KubeNotFound:
            log.debug("already gone", extra={"namespace": namespace, "deployment": name})
        self._deployments.saw_gone(deployment)
        self._applied.pop((namespace, name), None)


def _drifted(live: Object, applied: _Applied, pool: WorkerPool) -> bool:
    """Whether somebody else changed what we wrote. The owner counts apart: changing it makes no new generation."""
    return (
        uid_of(live) != applied.uid
        or live["metadata"]["generation"] != applied.generation
        or _owner_uid(live) != pool.metadata.uid
    )


def _owner(deployment: Object) -> Object:
    for owner in deployment["metadata"].get("ownerReferences", ()):
        if owner.get("controller") and owner.get("kind") == "WorkerPool":
            return dict(owner)
    return {}


def _owner_uid(deployment: Object) -> str | None:
    return _owner(deployment).get("uid")


def _owner_name(deployment: Object) -> str | None:
    return _owner(deployment).get("name")
