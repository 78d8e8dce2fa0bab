"""The witness: reads results as soon as they are there, and sees whether one changes later."""

import asyncio
import time
from collections.abc import Mapping

from chaos.model import ModelServer
from taskfleet.core.errors import StoreUnreachable
from taskfleet.core.task import QueueKey, TaskView
from taskfleet.store import Store

LOOK_EVERY_SECONDS = 0.5


class Witness:
    """``seen``: each final task as it was when it was first seen to be final, and when that was."""

    def __init__(self, store: Store, queue: QueueKey, model: ModelServer) -> None:
        self.seen: dict[str, tuple[float, TaskView]] = {}
        self._store = store
        self._queue = queue
        self._model = model

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Read what was answered since the last look. What is not final yet is looked at again."""
        names = sorted(self._model.finished - self.seen.keys())
        try:
            views = await self._store.get(self._queue, names)
        except StoreUnreachable:
            return
        now = time.monotonic()
        for name, view in zip(names, views, strict=True):
            if view is not None and view.state.is_final:
                self.seen[name] = now, view
                self._model.finished.discard(name)

    def forget_since(self, moment: float) -> None:
        """The store lost what it was told since then: what was seen since may come out differently."""
        forgotten = [name for name, (at, _) in self.seen.items() if at >= moment]
        for name in forgotten:
            del self.seen[name]
        self._model.finished.update(forgotten)

    def changed(self, now: Mapping[str, TaskView | None]) -> list[str]:
        """Tasks whose result is not what it was."""
        return sorted(name for name, (_, before) in self.seen.items() if now[name] != before)
