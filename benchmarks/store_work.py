"""The queue and the tasks with which the benchmarks use the store."""

import time
from collections.abc import Awaitable, Callable, Iterator

from taskfleet.core.settlement import QueuePolicy
from taskfleet.core.task import NewTask, new_task_id

MODEL = "small"
BODY = b'{"messages":[{"role":"user","content":"' + b"x" * 951 + b'"}],"parameters":{},"metadata":{}}'  # 1 KiB
POLICY = QueuePolicy(
    spec={},
    max_pending=10_000_000,
    max_task_bytes=1 << 20,
    lease_seconds=60,
    ttl_seconds=86_400,
    max_attempts=5,
    keep_results_seconds=600,
    keep_failed_seconds=600,
)


def tasks(count: int) -> Iterator[NewTask]:
    return (NewTask(new_task_id(), MODEL, BODY) for _ in range(count))


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    """How long it took."""
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began
