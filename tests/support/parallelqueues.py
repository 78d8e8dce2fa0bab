"""ParallelQueues as an API server shows them, and records of their runs."""

from typing import Any

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.core.names import FINALIZER
from taskfleet.core.task import QueueKey
from taskfleet.parallel.record import Record

NOW = "2026-01-01T00:00:00Z"
STEP = {"name": "ask", "action": "say {{ $item }}"}


def parallel_queue(generation: int = 1, **spec: Any) -> ParallelQueue:
    return ParallelQueue.model_validate(
        {
            "apiVersion": "taskfleet.dev/v1alpha1",
            "kind": "ParallelQueue",
            "metadata": {"name": "work", "namespace": "test", "uid": "u-1", "generation": generation},
            "spec": {"queueRef": {"name": "demo"}, "items": ["a"], "actionLoop": [STEP]} | spec,
        }
    )


def named(
    name: str, queue: QueueKey, *, uid: str = "", deleted: bool = False, status: Any = None, **spec: Any
) -> ParallelQueue:
    made = parallel_queue(queueRef={"name": queue.name}, **spec)
    update: dict[str, Any] = {"name": name, "namespace": queue.namespace, "uid": uid or f"uid-{name}"}
    if deleted:
        update |= {"deletion_timestamp": "2026-01-01T00:00:00Z", "finalizers": [FINALIZER]}
    return made.model_copy(update={"metadata": made.metadata.model_copy(update=update), "status": status or {}})


def record(**fields: Any) -> Record:
    spec = parallel_queue(actionLoop=[STEP, {"name": "check", "action": "check"}]).spec.of_run().to_wire()
    return Record(nonce="u1", spec=spec, inputs={}, kept=["a"] * 5, source=None, began=0.0, total=5, **fields)
