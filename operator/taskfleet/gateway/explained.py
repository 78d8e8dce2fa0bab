"""Why a queue or a task stands as it does, and what a task asks: ``.../explain`` and ``/v1/tasks/ID/request``."""

import orjson
from starlette.requests import Request
from starlette.responses import Response

from taskfleet.core.explanation import Scene, queue_lines, task_lines
from taskfleet.gateway.answers import Refused, json_answer
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queues import OpenQueue
from taskfleet.gateway.taskfinder import TaskFinder


class Explained:
    """Handlers; the lines are those of ``taskfleet explain``."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._queues = parts.queues
        self._finder = TaskFinder(parts)

    async def queue(self, request: Request, caller: Caller) -> Response:
        queue = await self._queues.chosen(request.path_params["queue"], caller)
        lines = queue_lines(queue.key.name, await self._scene(queue))
        return json_answer({"object": "explanation", "about": f"queue {queue.key}", "lines": _plain(lines)})

    async def task(self, request: Request, caller: Caller) -> Response:
        key, view = await self._finder.asked_for(request, caller)
        ahead = None if view.state.is_final else await self._store.ahead_of(key, view.id)
        lines = task_lines(view, ahead, await self._scene(await self._queues.open(key)), key.name)
        about = f"task {view.id} in {key} is {view.state.value}"
        return json_answer({"object": "explanation", "about": about, "lines": _plain(lines)})

    async def request(self, request: Request, caller: Caller) -> Response:
        """What a task asks, as it was submitted."""
        key, view = await self._finder.asked_for(request, caller)
        body = await self._store.body(key, view.id)
        if body is None:
            words = f"what task {view.id!r} asked is not kept: it is {view.state.value}, and only failed tasks keep it"
            raise Refused(404, "request_not_kept", words)
        shown = {"id": view.id, "object": "task.request", "queue": str(key), "request": orjson.Fragment(body)}
        return json_answer(shown)

    async def _scene(self, queue: OpenQueue) -> Scene:
        return Scene(queue.stats, queue.workers, await self._store.chronicle(queue.key))


def _plain(lines: list[str]) -> list[str]:
    return [line.strip() for line in lines]
