"""A running Reconciler on a real store. Its two ports are ours to record: what was applied, written and told."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.fleet import FleetRefused, FleetState, Kind
from taskfleet.controller.reconciler import Reconciler
from taskfleet.core.names import FINALIZER
from taskfleet.core.plan import Plan
from taskfleet.core.pool import AutoscalersObserved
from taskfleet.core.settlement import Settlement, Verdict, WorkerReport
from taskfleet.core.task import NewTask, QueueKey, new_task_id
from taskfleet.store import Store
from taskfleet.telemetry.controllermetrics import ControllerMetrics
from tests.support.waiting import eventually

NAMESPACE = "test"
Name = tuple[str, str]


def task_queue(
    name: str,
    *,
    models: str | Sequence[Mapping[str, Any]] = "small",
    uid: str = "q-1",
    generation: int = 1,
    **spec: Any,
) -> TaskQueue:
    """``models``: their names, or what their specs are."""
    metadata = {"name": name, "namespace": NAMESPACE, "uid": uid, "generation": generation}
    models_spec = [{"name": model} for model in models.split()] if isinstance(models, str) else models
    return TaskQueue.model_validate(
        {
            "apiVersion": "taskfleet.dev/v1alpha1",
            "kind": "TaskQueue",
            "metadata": metadata,
            "spec": {"models": models_spec} | spec,
        }
    )


def worker_pool(
    queue: str,
    url: str,
    *,
    name: str = "pool",
    uid: str = "p-1",
    generation: int = 1,
    models: str = "small",
    endpoints: Mapping[str, Mapping[str, Any]] | None = None,
    autoscaling: Mapping[str, Any] | None = None,
    **spec: Any,
) -> WorkerPool:
    """One endpoint ``llm`` with a worker for every four tasks, unless said otherwise."""
    base = {"url": url, "models": models.split(), "concurrency": 4}
    return WorkerPool.model_validate(
        {
            "apiVersion": "taskfleet.dev/v1alpha1",
            "kind": "WorkerPool",
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid, "generation": generation},
            "spec": {
                "queueRef": {"name": queue},
                "endpoints": [{"name": each} | base | more for each, more in (endpoints or {"llm": {}}).items()],
                "autoscaling": {
                    "targetBacklogPerWorker": 4,
                    "scaleDownDelay": "100ms",
                    "scaleToZeroDelay": "200ms",
                }
                | (autoscaling or {}),
                "healthCheck": {"interval": "100ms"},
            }
            | spec,
        }
    )


class RecordingFleet:
    """Workers that are there as soon as they are asked for, unless ``ready`` or ``trouble`` say otherwise."""

    def __init__(self) -> None:
        self.asked: dict[Name, dict[str, int]] = {}
        self.applied: list[tuple[float, Name, dict[str, int]]] = []
        self.removed: list[Name] = []
        self.ready: dict[str, int] = {}
        self.trouble: dict[str, str] = {}
        self.broken: set[str] = set()
        self.others = AutoscalersObserved()
        self.refused: dict[str, str] = {}

    async def observe(self, pool: WorkerPool) -> Mapping[str, FleetState]:
        return {
            name: FleetState(workers, self.ready.get(name, workers), self.trouble.get(name, ""))
            for name, workers in self.asked.get(_name(pool), {}).items()
        }

    def autoscalers(self, pool: WorkerPool) -> AutoscalersObserved:
        return self.others

    async def apply(self, pool: WorkerPool, plan: Plan, inflight: Mapping[str, int]) -> None:
        if pool.metadata.name in self.broken:
            raise RuntimeError("the fleet is broken on purpose")
        if self.refused:
            raise FleetRefused(self.refused)
        workers = {planned.name: planned.workers for planned in plan.endpoints}
        self.applied.append((time.monotonic(), _name(pool), workers))
        self.asked[_name(pool)] = workers

    async def remove(self, namespace: str, name: str) -> None:
        self.removed.append((namespace, name))
        self.asked.pop((namespace, name), None)

    def workers(self, pool: str = "pool") -> int:
        return sum(self.asked.get((NAMESPACE, pool), {}).values())


@dataclass
class RecordingSurface:
    """The API server as the reconciler knows it; ``writes`` counts every request, ``told`` keeps every event."""

    statuses: dict[tuple[Kind, str], dict[str, Any]] = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    guarded: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    written_at: dict[tuple[Kind, str], list[float]] = field(default_factory=dict)
    broken: bool = False

    async def write_status(self, kind: Kind, obj: TaskQueue | WorkerPool, status: dict[str, Any]) -> None:
        if self.broken:
            raise RuntimeError("the API server is broken on purpose")
        self.writes[kind] += 1
        self.written_at.setdefault((kind, obj.metadata.name), []).append(time.monotonic())
        self.statuses[kind, obj.metadata.name] = status

    def event(self, kind: Kind, obj: TaskQueue | WorkerPool, reason: str, message: str, *, warning: bool) -> None:
        self.told.append((obj.metadata.name, reason, message))

    async def ensure_finalizer(self, queue: TaskQueue) -> None:
        self.writes["finalizer"] += 1
        self.guarded.append(queue.metadata.name)

    async def release(self, queue: TaskQueue) -> None:
        self.writes["release"] += 1
        self.released.append(queue.metadata.name)

    def reasons(self, name: str) -> list[str]:
        return [reason for told_of, reason, _ in self.told if told_of == name]


class Control:
    """A reconciler that runs, and short words for what a test asks of it."""

    def __init__(
        self, store_url: str, fleet: RecordingFleet, surface: RecordingSurface, *, resync_seconds: float
    ) -> None:
        self.fleet = fleet
        self.surface = surface
        self.registry = CollectorRegistry()
        self.metrics = ControllerMetrics(self.registry)
        self.reconciler = Reconciler(
            store_url=store_url, fleet=fleet, surface=surface, metrics=self.metrics, resync_seconds=resync_seconds
        )

    def status(self, kind: Kind, name: str) -> dict[str, Any]:
        return self.surface.statuses.get((kind, name), {})

    def condition(self, kind: Kind, name: str, condition: str) -> tuple[str, str, str]:
        """Status, reason and message; empty words before the first status."""
        for each in self.status(kind, name).get("conditions", ()):
            if each["type"] == condition:
                return each["status"], each["reason"], each["message"]
        return "", "", ""

    def reason(self, kind: Kind, name: str, condition: str = "Ready") -> str:
        return self.condition(kind, name, condition)[1]

    def looks(self, kind: Kind) -> float:
        """How often an object of this kind was looked at with success."""
        return self.registry.get_sample_value("taskfleet_reconcile_total", {"kind": kind, "outcome": "ok"}) or 0.0

    async def at_rest(self) -> None:
        """Until nothing was looked at for longer than the time between two looks at something busy."""
        quiet_since, looks = time.monotonic(), -1.0

        def nothing_happens() -> bool:
            nonlocal quiet_since, looks
            now, seen = time.monotonic(), self.looks("TaskQueue") + self.looks("WorkerPool")
            if seen != looks:
                quiet_since, looks = now, seen
            return now - quiet_since > 1.2

        await eventually(nothing_happens, "the reconciler to be at rest")

    async def workers(self, number: int, pool: str = "pool") -> None:
        await eventually(lambda: self.fleet.workers(pool) == number, f"{number} workers of {pool}")


@contextlib.asynccontextmanager
async def controlling(
    store_url: str,
    *,
    fleet: RecordingFleet | None = None,
    surface: RecordingSurface | None = None,
    resync_seconds: float = 30.0,
) -> AsyncIterator[Control]:
    control = Control(
        store_url, fleet or RecordingFleet(), surface or RecordingSurface(), resync_seconds=resync_seconds
    )
    stop = asyncio.Event()
    running = asyncio.create_task(control.reconciler.run(stop))
    try:
        yield control
    finally:
        stop.set()
        await running


async def submit(store: Store, queue: QueueKey, number: int, *, model: str = "small") -> None:
    """Tasks, as soon as the queue takes them."""
    await eventually(lambda: store.policy(queue), f"the policy of {queue}")
    body = b'{"messages": [{"role": "user", "content": "hello"}], "parameters": {}, "metadata": {}}'
    await store.submit(queue, [NewTask(new_task_id(), model, body) for _ in range(number)])


class Hand:
    """A worker's hand on a queue: claims and ends tasks as a worker process does."""

    def __init__(self, store: Store, queue: QueueKey, *, pool: str = "pool", endpoint: str = "llm") -> None:
        self._store = store
        self._queue = queue
        self._pool = pool
        self._endpoint = endpoint
        self._held: dict[str, int] = {}

    async def claim(self, number: int = 100, *, models: str = "small") -> int:
        claim = await self._store.claim(self._queue, "hand", models.split(), number)
        self._held |= {task.id: task.fence for task in claim.tasks}
        return len(claim.tasks)

    async def beat(self, **more: Any) -> None:
        """Report, with ``more`` fields of a WorkerReport."""
        report = WorkerReport("hand", self._pool, self._endpoint, 4, len(self._held), **more)
        await self._store.heartbeat(self._queue, report, self._held)

    async def finish(self) -> None:
        ended = [Settlement(task, fence, Verdict.COMPLETE, output="hi") for task, fence in self._held.items()]
        self._held = {}
        await self._store.settle(self._queue, ended)


def guarded(queue: TaskQueue) -> TaskQueue:
    """The queue as the API server has it once the finalizer is on it."""
    return queue.model_copy(update={"metadata": queue.metadata.model_copy(update={"finalizers": [FINALIZER]})})


def deleted(queue: TaskQueue, **annotations: str) -> TaskQueue:
    """The queue after ``kubectl delete``, held by the finalizer."""
    changes = {"deletion_timestamp": "2026-01-01T00:00:00Z", "annotations": annotations}
    held = guarded(queue)
    return held.model_copy(update={"metadata": held.metadata.model_copy(update=changes)})


def _name(pool: WorkerPool) -> Name:
    return pool.metadata.namespace, pool.metadata.name
