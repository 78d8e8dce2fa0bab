"""Asks every endpoint of every pool whether it is there, beside the planning and never in its way."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


class Prober:
    """Probes while someone watches, except for model servers inside the workers' pods, which Kubernetes probes.
    ``changed`` is called with the pool when an endpoint's health does.

    ``reach`` gives the URL under which we find what workers in a namespace find under a URL.
    """

    def __init__(
        self, client: httpx.AsyncClient, changed: Callable[[PoolName], None], reach: Callable[[str, str], str]
    ) -> None:
        self._client = client
        self._changed = changed
        self._reach = reach
        self._pools: dict[PoolName, dict[str, tuple[_Target, asyncio.Task[None]]]] = {}
        self._health: dict[PoolName, dict[str, Health]] = {}

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
        if name not in self._pools:
            # What the controller before us wrote: to begin with it saves two writes of every pool after a restart.
            written = pool.status.get("endpoints", ())
            self._health[name] = {each["name"]: Health(True) for each in written if each.get("healthy")}
        probes = self._pools.setdefault(name, {})
        health = self._health[name]
        for endpoint, (target, task) in list(probes.items()):
            if wanted.get(endpoint) != target:
                task.cancel()
                del probes[endpoint]
                health.pop(endpoint, None)
        for endpoint, target in wanted.items():
            if endpoint not in probes:
                probes[endpoint] = (target, asyncio.create_task(self._keep_probing(name, endpoint, target)))

    def forget(self, name: PoolName) -> None:
        for _, task in self._pools.pop(name, {}).values():
            task.cancel()
        self._health.pop(name, None)

    def health(self, name: PoolName) -> Mapping[str, Health]:
        return self._health.get(name, {})

    async def close(self) -> None:
        tasks = [task for probes in self._pools.values() for _, task in probes.values()]
        for name in list(self._pools):
            self.forget(name)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_probing(self, name: PoolName, endpoint: str, target: _Target) -> None:
        failures = 0
        while True:
            trouble = await self._probe(target)
            failures = failures + 1 if trouble else 0
            before = self._health[name].get(endpoint, Health())
            after = _judge(before, trouble, failures, target.failure_threshold)
            if after != before:
                self._health[name][endpoint] = after
                self._changed(name)
            await asyncio.sleep(target.interval if after.healthy else _sooner(failures, target.interval))

    async def _probe(self, target: _Target) -> str:
        try:
            return await probe(self._client, target.url, target.path, target.timeout)
        except Exception:
            # A probe that ends its own loop would leave the endpoint in its last state for good.
            _log.exception("a probe failed in an unforeseen way", extra={"url": target.url})
            return "it could not be probed; the controller's log says why"


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
