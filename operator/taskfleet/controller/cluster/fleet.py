"""Workers as Deployments: one for each endpoint of a pool, written only when the world differs from the plan."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.cluster.cache import Name, Object, ObjectCache, name_of, uid_of
from taskfleet.controller.cluster.deletioncost import DeletionCosts
from taskfleet.controller.cluster.objects import WorkerDefaults, digest, store_secret, worker_deployment
from taskfleet.controller.cluster.pods import PodInspector
from taskfleet.controller.cluster.replicas import ReplicasKeeper
from taskfleet.controller.cluster.trouble import deployment_trouble
from taskfleet.controller.cluster.writers import Overwritings
from taskfleet.controller.fleet import FleetRefused, FleetState
from taskfleet.controller.world import pool_name
from taskfleet.core.names import deployment_name, store_secret_name
from taskfleet.core.plan import Plan
from taskfleet.core.pool import AutoscalersObserved
from taskfleet.kube import DEPLOYMENTS, SECRETS, KubeClient, KubeError, KubeForbidden, KubeNotFound, KubeRefused

log = logging.getLogger(__name__)

Environment = Callable[[WorkerPool, Endpoint], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class _Applied:
    """What we last wrote: its fingerprint, and the generation it has as long as nobody else writes."""

    digest: str
    uid: str
    generation: int
    replicas: int


@dataclass(slots=True)
class _Memory:
    """What was written for one pool: its Deployments by name, and the fingerprint of its Secret."""

    deployments: dict[str, _Applied] = field(default_factory=dict)
    secret: str = ""


class KubernetesFleet:
    """The Fleet of a cluster. ``deployments`` and ``autoscalers`` (all HPAs) are kept up to date by the watch."""

    def __init__(
        self,
        client: KubeClient,
        deployments: ObjectCache,
        autoscalers: ObjectCache,
        defaults: WorkerDefaults,
        environment: Environment,
    ) -> None:
        self._client = client
        self._deployments = deployments
        self._defaults = defaults
        self._environment = environment
        self._inspector = PodInspector(client)
        self._keeper = ReplicasKeeper(client, autoscalers)
        self._costs = DeletionCosts(client)
        self._overwritings = Overwritings()
        self._memories: dict[Name, _Memory] = {}

    async def observe(self, pool: WorkerPool) -> Mapping[str, FleetState]:
        """From the cache; pods are asked for only while workers are missing."""
        states = {endpoint.name: self._state(pool, endpoint) for endpoint in pool.spec.endpoints}
        if all(state.ready >= state.workers for state in states.values()):
            name = pool.metadata.namespace, pool.metadata.name
            measure = self._inspector.waited(*name) and any(endpoint.server for endpoint in pool.spec.endpoints)
            cold = await self._inspector.cold_starts(pool) if measure else {}
            self._inspector.forget(*name)
            return (
                {name: replace(state, cold_start=cold.get(name)) for name, state in states.items()} if cold else states
            )
        troubles = await self._inspector.troubles(pool)
        if any(store_secret_name(pool.metadata.name) in trouble for trouble in troubles.values()):
            # Somebody deleted it. We may not read Secrets, so this is how we learn of it: it is written again.
            self._memory(pool).secret = ""
        return {
            name: state
            if state.trouble or state.ready >= state.workers
            else FleetState(state.workers, state.ready, troubles.get(name, ""))
            for name, state in states.items()
        }

    def autoscalers(self, pool: WorkerPool) -> AutoscalersObserved:
        """Also one that we never see, by what it wrote."""
        observed = self._keeper.observe(pool, _deployment_names(pool))
        return replace(observed, second=observed.second or self._overwritings.told(pool_name(pool)))

    async def apply(self, pool: WorkerPool, plan: Plan, inflight: Mapping[str, int]) -> None:
        """One endpoint's trouble does not keep the others from their workers; the first is raised at the end."""
        if pool.metadata.deletion_timestamp:
            return  # its Deployments go with it; a write would only race with the garbage collector
        errors: list[KubeError] = []
        refused: dict[str, str] = {}
        workers = {decision.name: decision.workers for decision in plan.endpoints}
        for endpoint in pool.spec.endpoints:
            try:
                await self._ensure_secret(pool)
                await self._ensure_deployment(pool, endpoint, workers.get(endpoint.name, 0), inflight)
            except (KubeRefused, KubeForbidden) as error:  # a quota, a policy, a role: nothing that passes by itself
                refused[endpoint.name] = str(error)
            except KubeError as error:
                errors.append(error)
        for deployment in self._left_over(pool):
            try:
                await self._remove(deployment)
                self._memory(pool).deployments.pop(name_of(deployment)[1], None)
            except KubeError as error:
                errors.append(error)
        try:
            await self._keeper.apply(pool, plan.replicas)
        except KubeError as error:
            errors.append(error)
        if errors:
            raise errors[0]
        if refused:
            raise FleetRefused(refused)

    async def remove(self, namespace: str, name: str) -> None:
        """Nothing to delete: owner references do it. What we remember of the pool is forgotten."""
        self._memories.pop((namespace, name), None)
        self._inspector.forget(namespace, name)
        self._keeper.forget(namespace, name)
        self._overwritings.forget((namespace, name))

    def _memory(self, pool: WorkerPool) -> _Memory:
        return self._memories.setdefault(pool_name(pool), _Memory())

    def _state(self, pool: WorkerPool, endpoint: Endpoint) -> FleetState:
        name = deployment_name(pool.metadata.name, endpoint.name)
        live = self._deployments.get(pool.metadata.namespace, name)
        if live is None:
            return FleetState()
        applied = self._memory(pool).deployments.get(name)
        # What we asked for, not what somebody else made of it: that is drift, to be repaired and not to be planned on.
        workers = applied.replicas if applied and applied.uid == uid_of(live) else live["spec"].get("replicas", 0)
        ready = live.get("status", {}).get("readyReplicas", 0)
        return FleetState(workers, ready, deployment_trouble(live))

    async def _ensure_secret(self, pool: WorkerPool) -> None:
        manifest, memory = store_secret(pool, self._defaults), self._memory(pool)
        wanted = digest(manifest)
        if memory.secret != wanted:
            await self._client.apply(SECRETS, manifest)
            memory.secret = wanted

    async def _ensure_deployment(
        self, pool: WorkerPool, endpoint: Endpoint, replicas: int, inflight: Mapping[str, int]
    ) -> None:
        manifest = worker_deployment(
            pool, endpoint, replicas, environment=self._environment(pool, endpoint), defaults=self._defaults
        )
        (namespace, name), wanted, memory = name_of(manifest), digest(manifest), self._memory(pool)
        applied, live = memory.deployments.get(name), self._deployments.get(namespace, name)
        if applied and live and applied.digest == wanted:
            if not _drifted(live, applied, pool):
                return
            log.info("somebody changed a Deployment: set back", extra={"namespace": namespace, "deployment": name})
            if uid_of(live) == applied.uid:
                self._overwritings.note(pool_name(pool), live, applied.replicas)
        if live and 0 < replicas < live["spec"].get("replicas", 0):
            await self._costs.mark(pool, endpoint, inflight)
        written = await self._client.apply(DEPLOYMENTS, manifest)
        self._deployments.saw(written)
        memory.deployments[name] = _Applied(wanted, uid_of(written), written["metadata"]["generation"], replicas)

    def _left_over(self, pool: WorkerPool) -> list[Object]:
        """Deployments of endpoints that left the pool."""
        wanted = _deployment_names(pool)
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


def _deployment_names(pool: WorkerPool) -> set[str]:
    return {deployment_name(pool.metadata.name, endpoint.name) for endpoint in pool.spec.endpoints}


def _drifted(live: Object, applied: _Applied, pool: WorkerPool) -> bool:
    """Whether somebody else changed what we wrote. The owner counts apart: changing it makes no new generation."""
    return (
        uid_of(live) != applied.uid
        or live["metadata"]["generation"] != applied.generation
        or _owner_uid(live) != pool.metadata.uid
    )


def _owner_uid(deployment: Object) -> str | None:
    for owner in deployment["metadata"].get("ownerReferences", ()):
        if owner.get("controller") and owner.get("kind") == "WorkerPool":
            return str(owner["uid"])
    return None
