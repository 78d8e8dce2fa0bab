"""Writes status where it changed, and not more than about once a second for one object."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.fleet import Kind, Surface

STATUS_SECONDS = 1.0


@dataclass(slots=True)
class _Written:
    uid: str | None
    status: Mapping[str, Any]
    at: float = field(default=float("-inf"))
    shown: bool = True


class Reporter:
    """Knows what was written last for every object; starts from the status that the object came with."""

    def __init__(self, surface: Surface, clock: Callable[[], float]) -> None:
        self._surface = surface
        self._clock = clock
        self._written: dict[tuple[Kind, str, str], _Written] = {}

    def last(self, obj: TaskQueue | WorkerPool) -> Mapping[str, Any]:
        """The status as last written: what conditions and numbers go on from."""
        return self._of(obj).status

    async def report(self, obj: TaskQueue | WorkerPool, status: dict[str, Any]) -> tuple[bool, float | None]:
        """Show ``status``: whether it was written, and the time to come again when it is too early for it."""
        written = self._of(obj)
        if status == written.status and written.shown:
            return False, None
        now = self._clock()
        if now < written.at + STATUS_SECONDS:
            return False, written.at + STATUS_SECONDS
        await self._surface.write_status(obj.kind, obj, status)
        written.status, written.at, written.shown = status, now, True
        return True, None

    def is_overwritten(self, obj: TaskQueue | WorkerPool) -> bool:
        """Whether the object shows another status than ours: one that somebody wrote, or a late one of a controller
        before us. Ours is written again then, also when it has not changed."""
        written = self._of(obj)
        if not obj.status or obj.status == written.status:
            return False
        written.shown = False
        return True

    def forget(self, kind: Kind, namespace: str, name: str) -> None:
        self._written.pop((kind, namespace, name), None)

    def _of(self, obj: TaskQueue | WorkerPool) -> _Written:
        key = (obj.kind, obj.metadata.namespace, obj.metadata.name)
        known = self._written.get(key)
        if known is None or known.uid != obj.metadata.uid:
            known = self._written[key] = _Written(obj.metadata.uid, obj.status)
        return known
