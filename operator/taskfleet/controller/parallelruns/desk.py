"""What a run needs of the cluster, and how it says why it stands still."""

from collections.abc import Mapping
from typing import Any, Protocol

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.core.errors import TaskfleetError


class StandsStill(TaskfleetError):
    """A ParallelQueue that cannot go on now. ``reason`` is CamelCase, for its condition; the text is for people."""

    code = "stands_still"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Waits(StandsStill):
    """For something that may well come by itself: nothing that a person has to be warned of."""


class Desk(Protocol):
    """The API server, and whether we may act. All of it may raise KubeError, and NotLeading once another acts."""

    def may_act(self) -> None:
        """Raises NotLeading when this controller may act no more."""
        ...

    async def write_status(self, queue: ParallelQueue, status: dict[str, Any]) -> None: ...

    def event(self, queue: ParallelQueue, reason: str, message: str, *, warning: bool) -> None: ...

    async def ensure_finalizer(self, queue: ParallelQueue) -> None: ...

    async def release(self, queue: ParallelQueue) -> None: ...

    async def config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """Its data; None: there is none of this name."""
        ...

    def forget(self, queue: ParallelQueue) -> None:
        """It is gone: nothing is to be said of it any more."""
        ...
