"""The status of a TaskQueue: its numbers, and in words whether it works and why not."""

from collections.abc import Mapping, Sequence
from typing import Any

from taskfleet.api.status import ConditionStatus, Depth, TaskQueueStatus
from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.toolcalls import ARGUMENTS
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.deletion import Deletion
from taskfleet.core.conditions import Condition, Status, merge_conditions
from taskfleet.core.errors import StoreError
from taskfleet.core.needs import count
from taskfleet.core.pool import Execution, StopPolicy
from taskfleet.core.settlement import QueueStats
from taskfleet.core.wiretime import wire_time

_EXTERNAL = "execution is External: they are claimed with `taskfleet run`, and no WorkerPool serves them"
_NUMBERS = ("pending", "scheduled", "running", "completed", "failed", "cancelled", "expired", "depth")


def unserved_models(
    queue: TaskQueue, stats: QueueStats | None, pools: Sequence[WorkerPool], fallbacks: Mapping[str, str]
) -> dict[str, int]:
    """Models with waiting tasks that no endpoint of any pool serves, nor a fallback, with the number of tasks."""
    if queue.spec.execution is Execution.EXTERNAL:
        return {}
    served = {model for pool in pools for endpoint in pool.spec.endpoints for model in endpoint.models} | set(fallbacks)
    backlog = stats.backlog if stats else {}
    return {model: waiting for model, waiting in sorted(backlog.items()) if waiting and model not in served}


def queue_status(
    queue: TaskQueue,
    *,
    stats: QueueStats | None,
    trouble: StoreError | None,
    pools: Sequence[WorkerPool],
    fallbacks: Mapping[str, str],
    deletion: Deletion | None,
    last: Mapping[str, Any],
    now: str,
) -> dict[str, Any]:
    """The whole status. With ``trouble`` the numbers of ``last`` stay: not to see tasks does not make them go."""
    unserved = unserved_models(queue, stats, pools, fallbacks)
    conditions = (
        _ready(queue, stats, unserved, trouble, pools, deletion),
        _store_reachable(trouble),
        _paused(queue, stats, trouble),
        _served(queue, unserved, trouble, pools, fallbacks),
    )
    generation = queue.metadata.generation
    merged = merge_conditions(last.get("conditions", ()), conditions, generation=generation, now=now)
    frame = TaskQueueStatus(
        observed_generation=generation,
        pools=[pool.metadata.name for pool in pools],
        conditions=[ConditionStatus.model_validate(condition) for condition in merged],
    ).to_wire()
    if trouble is not None:
        kept = (*_NUMBERS, "oldestPendingTime")
        return frame | {name: last[name] for name in kept if name in last}
    return frame | _numbers(stats)


def _numbers(stats: QueueStats | None) -> dict[str, Any]:
    if stats is None:
        return {}
    oldest = stats.oldest_pending_at
    shown = TaskQueueStatus(
        pending=stats.pending,
        scheduled=stats.scheduled,
        running=stats.running,
        completed=stats.completed,
        failed=stats.failed,
        cancelled=stats.cancelled,
        expired=stats.expired,
        oldest_pending_time=None if oldest is None else wire_time(oldest),
        depth=Depth(**stats.depth),
    ).to_wire()
    return {name: shown[name] for name in (*_NUMBERS, "oldestPendingTime") if name in shown}


def _ready(
    queue: TaskQueue,
    stats: QueueStats | None,
    unserved: Mapping[str, int],
    trouble: StoreError | None,
    pools: Sequence[WorkerPool],
    deletion: Deletion | None,
) -> Condition:
    if trouble is not None:
        return Condition("Ready", Status.FALSE, _reason(trouble), str(trouble))
    if deletion is not None:
        return Condition("Ready", Status.FALSE, deletion.reason, deletion.message)
    if unserved:
        return Condition("Ready", Status.FALSE, "ModelNotServed", _unserved(unserved, pools))
    if hold := _hold(queue, stats):
        return Condition("Ready", Status.TRUE, "OnHold", f"tasks are accepted, but none is started: {hold}")
    if queue.spec.execution is Execution.EXTERNAL:
        return Condition("Ready", Status.TRUE, "External", f"tasks are accepted; {_EXTERNAL}")
    if not pools:
        return Condition("Ready", Status.TRUE, "NoWorkerPool", "tasks are accepted; no WorkerPool serves them yet")
    return Condition("Ready", Status.TRUE, "Accepting", "tasks are accepted and served")


def _store_reachable(trouble: StoreError | None) -> Condition:
    if trouble is not None:
        return Condition("StoreReachable", Status.FALSE, _reason(trouble), f"{trouble}; the numbers are the last seen")
    return Condition("StoreReachable", Status.TRUE, "Connected", "the store answers")


def _paused(queue: TaskQueue, stats: QueueStats | None, trouble: StoreError | None) -> Condition:
    """The spec says it, or a pause that the store keeps, with its end."""
    stop = queue.spec.stop_policy
    if stop is StopPolicy.NONE and trouble is not None:
        return Condition("Paused", Status.UNKNOWN, _reason(trouble), "cannot see whether it is paused")
    hold = _hold(queue, stats)
    if not hold:
        return Condition("Paused", Status.FALSE, "Running", "stopPolicy is None, and nobody paused it")
    reason = "Paused" if stop is StopPolicy.NONE else stop.value
    also = ", and workers go when their running tasks have ended" if stop is StopPolicy.HOLD_AND_DRAIN else ""
    return Condition("Paused", Status.TRUE, reason, f"{hold}: no task is started{also}")


def _hold(queue: TaskQueue, stats: QueueStats | None) -> str:
    """Why no task is started, in words; "" when tasks are."""
    stop = queue.spec.stop_policy
    why = [] if stop is StopPolicy.NONE else [f"stopPolicy is {stop.value}"]
    return " and it is ".join(why + ([stats.pause] if stats and stats.paused else []))


def _served(
    queue: TaskQueue,
    unserved: Mapping[str, int],
    trouble: StoreError | None,
    pools: Sequence[WorkerPool],
    fallbacks: Mapping[str, str],
) -> Condition:
    if queue.spec.execution is Execution.EXTERNAL:
        return Condition("Served", Status.TRUE, "External", _EXTERNAL)
    if trouble is not None:
        return Condition("Served", Status.UNKNOWN, _reason(trouble), "cannot see which models have tasks")
    if unserved:
        return Condition("Served", Status.FALSE, "ModelNotServed", _unserved(unserved, pools))
    if fallbacks:
        told = ", ".join(f"{fallback} for {model}" for model, fallback in sorted(fallbacks.items()))
        text = f"by fallback: {told}, until an endpoint of that is healthy again"
        return Condition("Served", Status.TRUE, "ServedByFallback", text)
    return Condition("Served", Status.TRUE, "Served", "every model with waiting tasks has an endpoint")


def _unserved(unserved: Mapping[str, int], pools: Sequence[WorkerPool]) -> str:
    waiting = ", ".join(f"{model} ({count(tasks, 'task')})" for model, tasks in unserved.items())
    if not pools:
        return f"no WorkerPool has this queue in spec.queueRef; waiting: {waiting}; create one"
    names = ", ".join(pool.metadata.name for pool in pools)
    tools = ", ".join(model for model in unserved if model in ARGUMENTS)
    return (
        f"no endpoint serves {waiting}; add the model to spec.endpoints[].models of a WorkerPool (there are: {names})"
        + (f"; {tools}: to those of an endpoint with provider: tools" if tools else "")
    )


def _reason(trouble: StoreError) -> str:
    return type(trouble).__name__
