"""Asks every endpoint of every pool whether it is there, beside the planning and never in its way."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

from taskfleet.api.workerpool import WorkerPool
from taskfleet.providers.probe import probe

_log = logging.getLogger(__name__)

PoolName = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Health:
    """What the last probes of an endpoint said. ``healthy`` is None until the first one ended."""

    healthy: bool | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class _Target:
    url: str
    path: str
    interval: float
    timeout: float
    failure_threshold: int


@dataclass(slots=True)
class _Watched:
    """A target with the pools that look at it, each once for every endpoint that has it."""

    health: Health
    probing: asyncio.Task[None] | None = None
    pools: Counter[PoolName] = field(default_factory=Counter)


class Prober:
    """Probes while someone watches, except for model servers inside the workers' pods, which Kubernetes probes.
    ``changed`` is called with the pool when an endpoint's health does.

    A server is asked once, however many pools have it as an endpoint. ``reach`` gives the URL under which we find what
    workers in a namespace find under a URL.
    """

    def __init__(
        self, client: httpx.AsyncClient, changed: Callable[[PoolName], None], reach: Callable[[str, str], str]
    ) -> None:
        self._client = client
        self._changed = changed
        self._reach = reach
        self._pools: dict[PoolName, dict[str, _Target]] = {}
        self._watched: dict[_Target, _Watched] = {}

    def watch(self, pool: WorkerPool) -> None:
        """Probe these endpoints from now on, each at once; those whose probe did not change go on as they were."""
        name = (pool.metadata.namespace, pool.metadata.name)
        check = pool.spec.health_check
        wanted = {
            endpoint.name: _Target(
                self._reach(endpoint.url, pool.metadata.namespace),
                check.path,
                check.interval.seconds,
                check.timeout.seconds,
                check.failure_threshold,
            )
            for endpoint in pool.spec.endpoints
            if endpoint.url is not None
        }
        # What the controller before us wrote: to begin with it saves two writes of every pool after a restart.
        written = _written_healthy(pool) if name not in self._pools else frozenset[str]()
        before = self._pools.get(name, {})
        self._pools[name] = wanted
        for endpoint, target in wanted.items():
            if before.get(endpoint) != target:
                self._look(target, name, was_healthy=endpoint in written)
        for endpoint, target in before.items():
            if wanted.get(endpoint) != target:
                self._look_away(target, name)

    def forget(self, name: PoolName) -> None:
        for target in self._pools.pop(name, {}).values():
            self._look_away(target, name)

    def health(self, name: PoolName) -> Mapping[str, Health]:
        return {endpoint: self._watched[target].health for endpoint, target in self._pools.get(name, {}).items()}

    async def close(self) -> None:
        tasks = [watched.probing for watched in self._watched.values() if watched.probing]
        for name in list(self._pools):
            self.forget(name)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _look(self, target: _Target, pool: PoolName, *, was_healthy: bool) -> None:
        watched = self._watched.get(target)
        if watched is None:
            watched = self._watched[target] = _Watched(Health(True) if was_healthy else Health())
            watched.probing = asyncio.create_task(self._keep_probing(target, watched))
        watched.pools[pool] += 1

    def _look_away(self, target: _Target, pool: PoolName) -> None:
        watched = self._watched[target]
        watched.pools[pool] -= 1
        watched.pools += Counter()  # without those that are at 0
        if not watched.pools:
            del self._watched[target]
            if watched.probing:
                watched.probing.cancel()

    async def _keep_probing(self, target: _Target, watched: _Watched) -> None:
        failures = 0
        while True:
            trouble = await self._probe(target)
            failures = failures + 1 if trouble else 0
            after = _judge(watched.health, trouble, failures, target.failure_threshold)
            if after != watched.health:
                watched.health = after
                for pool in list(watched.pools):
                    self._changed(pool)
            await asyncio.sleep(target.interval if after.healthy else _sooner(failures, target.interval))

    async def _probe(self, target: _Target) -> str:
        try:
            return await probe(self._client, target.url, target.path, target.timeout)
        except Exception:
            # A probe that ends its own loop would leave the endpoint in its last state for good.
            _log.exception("a probe failed in an unforeseen way", extra={"url": target.url})
            return "it could not be probed; the controller's log says why"


def _written_healthy(pool: WorkerPool) -> frozenset[str]:
    return frozenset(each["name"] for each in pool.status.get("endpoints", ()) if each.get("healthy"))


def _sooner(failures: int, interval: float) -> float:
    """An endpoint that is down, or whose name is new, is what work waits for: 1, 2, 4 s ... up to the interval."""
    return min(interval, 2.0 ** (min(failures, 16) - 1))


def _judge(before: Health, trouble: str, failures: int, threshold: int) -> Health:
    """One good answer is enough. The threshold guards what was healthy: an endpoint never seen well is not."""
    if not trouble:
        return Health(True)
    if before.healthy and failures < threshold:
        return before
    return Health(False, trouble)
