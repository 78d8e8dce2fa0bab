"""Taskfleet: a Kubernetes operator for LLM worker pools, and the same thing in a program.

``from taskfleet import ParallelTaskQueue, TaskPriority``; other names are in the packages below. They are imported when
they are asked for: a worker or a command does not pay for what only a program needs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskfleet.core.errors import TaskfleetError
    from taskfleet.sdk import (
        HandlerTask,
        ParallelTaskQueue,
        Progress,
        SyncParallelTaskQueue,
        TaskPriority,
        TaskResult,
    )

__all__ = [
    "HandlerTask",
    "ParallelTaskQueue",
    "Progress",
    "SyncParallelTaskQueue",
    "TaskPriority",
    "TaskResult",
    "TaskfleetError",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'taskfleet' has no attribute {name!r}")
    from taskfleet import sdk
    from taskfleet.core import errors

    return getattr(errors if name == "TaskfleetError" else sdk, name)
