"""The queues that a gateway serves, as the store has them: looked up once a moment, not once a request."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from taskfleet.api.taskqueue import TaskQueueSpec, published_spec
from taskfleet.api.taskreader import TaskReader
from taskfleet.core.errors import InputError, NotFound
from taskfleet.core.fallbacks import model_for
from taskfleet.core.settlement import QueuePolicy, QueueStats, WorkerReport, complaints, seconds_to_serve
from taskfleet.core.task import QueueKey
from taskfleet.gateway.answers import Refused
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.fresh import Fresh
from taskfleet.store import Store

FRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class OpenQueue:
    """A queue as it was a moment ago."""

    key: QueueKey
    policy: QueuePolicy
    spec: TaskQueueSpec
    reader: TaskReader
    stats: QueueStats
    workers: Sequence[WorkerReport]

    def check_served(self, model: str) -> None:
        """Raise Refused (503) when a task of this model would only wait, as far as can be known."""
        if why := self._not_served(model):
            until = self.stats.paused_until
            headers = {} if until is None else {"Retry-After": str(max(1, round(until - self.stats.now)))}
            raise Refused(503, "not_served", f"queue {self.key} does not serve {model} now: {why}", headers)

    def _not_served(self, model: str) -> str:
        if self.policy.stopped:
            return f"its stopPolicy is {self.spec.stop_policy.value}"
        if self.stats.paused:
            return f"it is {self.stats.pause}"
        served = self.policy.served
        if self.policy.external or served is None or self.policy.fallbacks.get(model, model) in served:
            return ""
        return (
            "no endpoint of a WorkerPool serves it; add the model to spec.endpoints[].models of one"
            if served
            else "no WorkerPool has this queue in spec.queueRef; create one"
        )

    def eta_seconds(self, ahead: int, model: str) -> float | None:
        """When a task behind so many others is served at the rate of the last minute; None when nobody can know."""
        return seconds_to_serve(ahead + 1, self.workers, model)

    @property
    def models_with_workers(self) -> frozenset[str]:
        """The models whose tasks a worker takes now, also in place of others."""
        ready = [report for report in self.workers if not (report.gateway or report.draining or report.trouble)]
        return frozenset(
            model.name
            for model in self.spec.models
            if any(model_for(model.name, report.models, self.policy.fallbacks) for report in ready)
        )

    @property
    def trouble(self) -> str:
        """What keeps the workers from their work, in words."""
        return "; ".join(complaints(self.workers))


class Queues:
    """``run`` it as long as the gateway serves. ``usual``: the queue of requests that name none; without it, the only
    one there is. ``namespace``: of names without one."""

    def __init__(self, store: Store, *, namespace: str, usual: QueueKey | None) -> None:
        self._store = store
        self._namespace = namespace
        self._usual = usual
        self._open = Fresh(self._looked_up, FRESH_SECONDS)

    async def run(self) -> None:
        """Keep what is known of the queues that are called fresh, for ever."""
        await self._open.keep()

    async def chosen(self, name: str | None, caller: Caller) -> OpenQueue:
        """The queue of a request. Raises NotFound, InputError (none is named, and there are several), StoreError."""
        key = await self._key(name, caller)
        if not caller.may_use(key):
            raise self._not_there(key)
        return await self.open(key)

    async def visible(self, caller: Caller) -> list[QueueKey]:
        """All that the caller may use: the usual one first, then by name."""
        there = caller.own_queues(await self._store.queues())
        return sorted(there, key=lambda queue: queue != self._usual)

    async def open(self, key: QueueKey) -> OpenQueue:
        """Raises NotFound, StoreError."""
        return await self._open.get(key)

    async def _key(self, name: str | None, caller: Caller) -> QueueKey:
        if name is not None:
            try:
                return QueueKey.parse(name) if "/" in name else QueueKey(self._namespace, name)
            except ValueError as error:
                raise InputError(f"Taskfleet-Queue: {error}") from None
        if self._usual is not None:
            return self._usual
        there = await self.visible(caller)
        if len(there) != 1:
            which = f"there are {', '.join(map(str, there))}" if there else "there is none yet: apply a TaskQueue"
            raise InputError(f"Taskfleet-Queue: say which queue in this header (namespace/name); {which}")
        return there[0]

    async def _looked_up(self, key: QueueKey) -> OpenQueue:
        policy, stats, workers = await asyncio.gather(
            self._store.policy(key), self._store.stats(key), self._store.workers(key)
        )
        if policy is None or stats is None:
            raise self._not_there(key)
        spec = published_spec(policy, key)
        return OpenQueue(key, policy, spec, TaskReader(spec), stats, workers)

    def _not_there(self, key: QueueKey) -> NotFound:
        return NotFound(f"Taskfleet-Queue: there is no queue {key} here; apply its TaskQueue, or look at its name")


def waiting_headers(queue: OpenQueue, ahead: int | None, model: str) -> Mapping[str, str]:
    """Where a task stands and when it may be served, as headers; nothing when it does not wait."""
    if ahead is None:
        return {}
    eta = queue.eta_seconds(ahead, model)
    headers = {"Taskfleet-Queue-Position": str(ahead + 1)}
    return headers if eta is None else headers | {"Taskfleet-Eta-Seconds": f"{eta:.1f}"}
