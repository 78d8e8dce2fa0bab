"""Finds the task that a request is about, in whichever queue it is, where it is the caller's to see."""

from starlette.requests import Request

from taskfleet.core.errors import NotFound
from taskfleet.core.task import QueueKey, TaskView, is_task_id
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.wishes import HEADERS


class TaskFinder:
    """For all that is under ``/v1/tasks/ID``."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._queues = parts.queues

    async def asked_for(self, request: Request, caller: Caller, *, held: bool = False) -> tuple[QueueKey, TaskView]:
        """The task of a request's path, in the queue that it names or in any that the caller may use. ``held``: the
        caller has its lease, whose ever it is."""
        name = request.query_params.get("queue") or request.headers.get(HEADERS["queue"])
        queue = None if name is None else (await self._queues.chosen(name, caller)).key
        return await self.find(request.path_params["id"], queue, caller, held=held)

    async def find(
        self, task_id: str, queue: QueueKey | None, caller: Caller, *, held: bool = False
    ) -> tuple[QueueKey, TaskView]:
        """Raises NotFound, also for what is another tenant's."""
        places = await self._queues.visible(caller) if queue is None else [queue]
        for place in places if is_task_id(task_id) else ():
            (view,) = await self._store.get(place, [task_id])
            if view is not None and (held or caller.sees_task(view)):
                return place, view
        raise no_task(task_id)


def no_task(task_id: str) -> NotFound:
    """For a task that is not there."""
    return NotFound(f"there is no task {task_id[:128]!r} here; finished ones are kept for the queue's retention time")
