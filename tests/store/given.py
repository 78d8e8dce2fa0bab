"""Queues, tasks and settlements as the tests of the store give them."""

from dataclasses import replace
from typing import Any

from taskfleet.core.settlement import QueuePolicy, Settlement, Verdict, WorkerReport
from taskfleet.core.task import LeasedTask, NewTask, Priority, QueueKey, TaskError
from taskfleet.store import Store

BODY = b'{"messages":[{"role":"user","content":"hello"}],"parameters":{},"metadata":{}}'
MODEL = "small"

POLICY = QueuePolicy(
    spec={"models": [{"name": MODEL}]},
    max_pending=1_000_000,
    max_task_bytes=1024 * 1024,
    lease_seconds=60.0,
    ttl_seconds=3600.0,
    max_attempts=3,
    keep_results_seconds=3600.0,
    keep_failed_seconds=3600.0,
)


def policy(**changes: Any) -> QueuePolicy:
    return replace(POLICY, **changes)


def task(
    name: str, *, model: str = MODEL, priority: Priority = Priority.NORMAL, body: bytes = BODY, **times: float
) -> NewTask:
    return NewTask(name, model, body, priority, **times)


def tasks(count: int, start: str = "t", **options: Any) -> list[NewTask]:
    return [task(f"{start}{number:05d}", **options) for number in range(count)]


def report(worker: str = "w1", **changes: Any) -> WorkerReport:
    return replace(WorkerReport(worker, "pool", "endpoint", slots=4, inflight=0), **changes)


def settle(leased: LeasedTask, verdict: Verdict = Verdict.COMPLETE, **options: Any) -> Settlement:
    if verdict is Verdict.COMPLETE:
        options.setdefault("output", "done")
    return Settlement(leased.id, leased.fence, verdict, **options)


def error(code: str = "timeout", message: str = "it took too long") -> TaskError:
    return TaskError(code, message)


async def claim_ids(store: Store, queue: QueueKey, count: int = 1, models: tuple[str, ...] = (MODEL,)) -> list[str]:
    return [leased.id for leased in (await store.claim(queue, "w1", models, count)).tasks]


async def claim_one(store: Store, queue: QueueKey, worker: str = "w1") -> LeasedTask:
    (leased,) = (await store.claim(queue, worker, (MODEL,), 1)).tasks
    return leased
