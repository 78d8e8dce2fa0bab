"""``/v1/tasks`` for many tasks at once: looked up and cancelled in one call."""

import orjson
from starlette.requests import Request
from starlette.responses import Response

from taskfleet.api.taskobjects import task_object
from taskfleet.core.errors import InputError
from taskfleet.gateway.answers import json_answer
from taskfleet.gateway.bodies import json_object, known_fields
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queues import OpenQueue
from taskfleet.gateway.wishes import HEADERS

MOST_IDS = 1000
ANSWER_BYTES = 8 * 2**20  # beyond which an answer has fewer tasks than were asked for
_AT_ONCE = 100


class ManyTasks:
    """Handlers of ``/v1/tasks/lookup`` and ``/v1/tasks/cancel``."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._queues = parts.queues
        self._ends = parts.ends

    async def lookup(self, request: Request, caller: Caller) -> Response:
        """``{"ids": [...]}``: these tasks as they are now, in this order, null for one that is not there. Where they
        are large the first of them, with ``has_more``."""
        queue = await self._asked_for(request, caller)
        ids = await _ids(request)
        shown: list[orjson.Fragment | None] = []
        size = 0
        while len(shown) < len(ids) and size < ANSWER_BYTES:
            for view in await self._store.get(queue.key, ids[len(shown) : len(shown) + _AT_ONCE]):
                if view is None or not caller.sees_task(view):
                    shown.append(None)
                    continue
                written = orjson.dumps(task_object(queue.key, view))
                shown.append(orjson.Fragment(written))
                size += len(written)
        more = len(shown) < len(ids)
        return json_answer({"object": "list", "queue": str(queue.key), "data": shown, "has_more": more})

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """``{"ids": [...]}``: cancel these; for each what became of it."""
        queue = await self._asked_for(request, caller)
        ids = await _ids(request)
        own = ids
        if not caller.sees_all:
            views = await self._store.get(queue.key, ids)
            own = [view.id for view in views if view is not None and caller.sees_task(view)]
        words = await self._store.cancel(queue.key, own)
        self._ends.nudge(queue.key, own)
        outcome = {task_id: words.get(task_id, "not_found") for task_id in ids}
        return json_answer({"object": "list", "queue": str(queue.key), "outcome": outcome})

    async def _asked_for(self, request: Request, caller: Caller) -> OpenQueue:
        name = request.query_params.get("queue") or request.headers.get(HEADERS["queue"])
        return await self._queues.chosen(name, caller)


async def _ids(request: Request) -> list[str]:
    body = await json_object(request)
    known_fields(body, "", ("ids",))
    ids = body.get("ids")
    if not isinstance(ids, list) or not 1 <= len(ids) <= MOST_IDS or not all(isinstance(each, str) for each in ids):
        raise InputError(f"ids: it must be an array of 1 to {MOST_IDS} ids of tasks")
    return ids
