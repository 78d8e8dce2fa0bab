"""One queue in a real store, as a test sees it: opened with short times, filled, and looked at."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from taskfleet.core.task import QueueKey, TaskView
from taskfleet.store import Store
from tests.support.waiting import eventually
from tests.support.workerprocess import prompts, quick_policy


class Work:
    """One queue in a store, as a test sees it."""

    def __init__(self, store: Store, queue: QueueKey) -> None:
        self.store = store
        self.queue = queue

    async def open(self, **spec: Any) -> None:
        await self.store.put_policy(self.queue, quick_policy(**spec))

    async def submit(self, *texts: str, stream: bool = False) -> list[str]:
        await self.store.submit(self.queue, prompts(*texts, stream=stream))
        return list(texts)

    async def views(self, ids: Sequence[str]) -> list[TaskView]:
        found = await self.store.get(self.queue, ids)
        return [view for view in found if view is not None]

    async def states(self, ids: Sequence[str]) -> Counter[str]:
        return Counter(view.state.value for view in await self.views(ids))

    async def finished(self, ids: Sequence[str], *, timeout: float = 20.0) -> list[TaskView]:  # noqa: ASYNC109
        """The tasks once all of them are final."""

        async def all_final() -> bool:
            views = await self.views(ids)
            return len(views) == len(ids) and all(view.state.is_final for view in views)

        await eventually(all_final, f"{len(ids)} tasks to end", timeout=timeout)
        return await self.views(ids)
