"""Workers as processes of this machine: the laptop's answer to Deployments.

One crew for each endpoint of each pool. A worker that dies is replaced by the next ``apply``, at once when it had
lived, after a growing delay when it keeps dying. Nothing is killed that was not started here.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.fleet import FleetState
from taskfleet.core.names import deployment_name
from taskfleet.core.plan import Plan
from taskfleet.core.pool import AutoscalersObserved
from taskfleet.core.settlement import WorkerReport
from taskfleet.core.task import QueueKey
from taskfleet.embedded.process import keep_small
from taskfleet.local.crew import Crew
from taskfleet.local.secretkeys import api_key
from taskfleet.telemetry.logs import FORMAT_VARIABLE, LEVEL_VARIABLE
from taskfleet.worker import variables

PoolName = tuple[str, str]
Touch = Callable[[str, str], None]
Reports = Callable[[QueueKey], Awaitable[list[WorkerReport]]]


class ProcessFleet:
    """The Fleet port with processes.

    ``reports`` asks the store which workers are alive; ``touch`` (set by the owner once the reconciler exists) asks
    for another look at a pool; ``tell`` takes sentences for people.
    """

    def __init__(self, *, store_url: str, logs: Path, reports: Reports, tell: Callable[[str], None]) -> None:
        self._store_url = store_url
        self._logs = logs
        self._reports = reports
        self._tell = tell
        self._crews: dict[PoolName, dict[str, Crew]] = {}
        self._dismissed: set[Crew] = set()
        self._closed = False
        self.touch: Touch = lambda _namespace, _name: None

    async def observe(self, pool: WorkerPool) -> Mapping[str, FleetState]:
        crews = self._crews.get(_name(pool), {})
        if not any(crew.wanted for crew in crews.values()):
            return {name: FleetState(trouble=crew.trouble) for name, crew in crews.items()}
        alive = {report.worker for report in await self._reports(pool.queue) if not report.draining}
        return {
            name: FleetState(crew.wanted, len(alive.intersection(crew.workers)), crew.trouble)
            for name, crew in crews.items()
        }

    def autoscalers(self, pool: WorkerPool) -> AutoscalersObserved:
        return AutoscalersObserved()

    async def apply(self, pool: WorkerPool, plan: Plan, inflight: Mapping[str, int]) -> None:
        if self._closed:
            return
        crews = self._crews.setdefault(_name(pool), {})
        specs = {endpoint.name: endpoint for endpoint in pool.spec.endpoints}
        for name in [name for name in crews if name not in specs]:
            self._dismiss(crews.pop(name))
        for planned in plan.endpoints:
            crew = crews.get(planned.name) or crews.setdefault(planned.name, self._new_crew(pool, planned.name))
            grace = pool.spec.worker_template.termination_grace_period.seconds
            crew.prepare(self._environment(pool, specs[planned.name]), grace)
            await crew.scale(planned.workers, busy=inflight)

    async def remove(self, namespace: str, name: str) -> None:
        for crew in self._crews.pop((namespace, name), {}).values():
            self._dismiss(crew)

    def processes(self) -> int:
        """Worker processes that are there, also those on their way out."""
        return sum(crew.processes for crew in self._all())

    async def drain(self) -> None:
        """End all workers, each within its grace period, and start no others."""
        self._closed = True
        for crew in self._all():
            crew.dismiss()
        await asyncio.gather(*(crew.gone() for crew in self._all()))

    def kill(self) -> None:
        """End all workers at once; their tasks come back to the queue when the leases end."""
        self._closed = True
        for crew in self._all():
            crew.kill()

    def _all(self) -> list[Crew]:
        return [*(crew for crews in self._crews.values() for crew in crews.values()), *self._dismissed]

    def _dismiss(self, crew: Crew) -> None:
        crew.dismiss()
        self._dismissed = {old for old in self._dismissed if old.processes} | {crew}

    def _new_crew(self, pool: WorkerPool, endpoint: str) -> Crew:
        namespace, name = _name(pool)
        log = self._logs / f"{namespace}.{deployment_name(name, endpoint)}.log"
        keep_small(log)
        return Crew(f"{name}-{endpoint}", log=log, tell=self._tell, changed=lambda: self.touch(namespace, name))

    def _environment(self, pool: WorkerPool, endpoint: Endpoint) -> dict[str, str]:
        """What a worker process gets: ours, without any setting meant for `up`, and what a pod would get."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("TASKFLEET_") or name == LEVEL_VARIABLE
        }
        environment |= {item.name: item.value for item in pool.spec.worker_template.env}
        environment |= variables.environment(pool, endpoint)
        environment |= {variables.STORE_URL: self._store_url, variables.PORT: "", FORMAT_VARIABLE: "text"}
        key = api_key(endpoint, os.environ)
        return environment if key is None else environment | {variables.API_KEY: key}


def _name(pool: WorkerPool) -> PoolName:
    return pool.metadata.namespace, pool.metadata.name
