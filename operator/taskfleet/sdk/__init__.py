"""For programs: ``ParallelTaskQueue`` and what it gives. ``from taskfleet import ParallelTaskQueue, TaskPriority``."""

from taskfleet.core.task import Priority as TaskPriority
from taskfleet.sdk.dataset import DatasetRun, DatasetSummary
from taskfleet.sdk.handler import HandlerTask
from taskfleet.sdk.queue import ParallelTaskQueue
from taskfleet.sdk.results import Answer, Error, Failure, Progress, Stats, TaskBatch, TaskResult
from taskfleet.sdk.sync import SyncParallelTaskQueue

__all__ = [
    "Answer",
    "DatasetRun",
    "DatasetSummary",
    "Error",
    "Failure",
    "HandlerTask",
    "ParallelTaskQueue",
    "Progress",
    "Stats",
    "SyncParallelTaskQueue",
    "TaskBatch",
    "TaskPriority",
    "TaskResult",
]
