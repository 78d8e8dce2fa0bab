"""What the reconciler says, kept in memory for the view: the laptop's answer to the API server."""

from collections.abc import Callable, Mapping
from typing import Any

from taskfleet.controller.fleet import Guarded, Kind, Shown


class MemorySurface:
    """The Surface port. ``tell`` takes every event as a sentence; statuses are there to be read."""

    def __init__(self, *, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._statuses: dict[tuple[Kind, str, str], dict[str, Any]] = {}

    def status(self, kind: Kind, namespace: str, name: str) -> Mapping[str, Any]:
        """The newest status in wire form; empty before the first."""
        return self._statuses.get((kind, namespace, name), {})

    async def write_status(self, kind: Kind, obj: Shown, status: dict[str, Any]) -> None:
        self._statuses[kind, obj.metadata.namespace, obj.metadata.name] = status

    def event(self, kind: Kind, obj: Shown, reason: str, message: str, *, warning: bool) -> None:
        mark = "warning: " if warning else ""
        self._tell(f"{mark}{'queue' if kind == 'TaskQueue' else 'pool'} {obj.metadata.name}: {message} ({reason})")

    async def ensure_finalizer(self, obj: Guarded) -> None:
        """A queue that leaves the manifests keeps its tasks in the data folder: nothing to hold back."""

    async def release(self, obj: Guarded) -> None:
        """No object was held back."""
