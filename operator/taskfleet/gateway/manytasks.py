"""``/v1/tasks`` for many tasks at once: looked up, cancelled and listed, each in one call."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response

from taskfleet.api.taskobjects import task_object
from taskfleet.core.errors import InputError, NotFound
from taskfleet.core.task import TaskView, is_task_id
from taskfleet.core.wiretime import wire_time
from taskfleet.gateway.answers import json_answer
from taskfleet.gateway.bodies import json_object, known_fields
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.paging import PageWanted, page_wanted
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queues import OpenQueue
from taskfleet.gateway.wishes import HEADERS

MOST_IDS = 1000
MOST_LISTED, USUALLY_LISTED = 1000, 100
ANSWER_BYTES = 8 * 2**20  # beyond which an answer has fewer tasks than were asked for
_AT_ONCE = 100
_FAILED = re.compile(r"(\d{1,15}):(.{1,128})")


class ManyTasks:
    """Handlers of ``/v1/tasks``, ``/v1/tasks/lookup`` and ``/v1/tasks/cancel``."""

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

    async def listing(self, request: Request, caller: Caller) -> Response:
        """Of ``?batch=NAME`` in input order, or of ``?status=failed`` from the oldest failure on; behind ``after``, the
        ``next`` of the page before."""
        queue = await self._asked_for(request, caller)
        wanted = page_wanted(request, most=MOST_LISTED, usual=USUALLY_LISTED)
        batch, status = request.query_params.get("batch"), request.query_params.get("status")
        if batch is not None and status is None:
            if not is_task_id(batch) or await self._store.batch(queue.key, batch) is None:
                raise NotFound(f"batch: there is no batch {batch[:128]!r} in queue {queue.key}")
            found = self._of_batch(queue, batch, wanted)
        elif batch is None and status == "failed":
            found = self._failed(queue, wanted)
        else:
            raise InputError("batch: say what to list: batch=NAME, or status=failed")
        return json_answer(await _page(found, wanted.limit, caller))

    async def _of_batch(self, queue: OpenQueue, batch: str, wanted: PageWanted) -> AsyncIterator["Listed"]:
        async for view in self._store.batch_tasks(queue.key, batch, wanted.after or ""):
            yield view, task_object(queue.key, view), view.id

    async def _failed(self, queue: OpenQueue, wanted: PageWanted) -> AsyncIterator["Listed"]:
        after = None
        if wanted.after is not None:
            place = _FAILED.fullmatch(wanted.after)
            if place is None:
                raise InputError(f"after: {wanted.after[:140]!r} is not the next of a page of failed tasks")
            after = int(place[1]) / 1000, place[2]
        async for letter in self._store.dead_letters(queue.key, after):
            shown = {**task_object(queue.key, letter.task), "failed_at": wire_time(letter.failed_at)}
            yield letter.task, shown, f"{round(letter.failed_at * 1000)}:{letter.task.id}"

    async def _asked_for(self, request: Request, caller: Caller) -> OpenQueue:
        name = request.query_params.get("queue") or request.headers.get(HEADERS["queue"])
        return await self._queues.chosen(name, caller)


Listed = tuple[TaskView, dict[str, Any], str]
"""A task, as it is shown, and where a list goes on behind it."""


async def _page(found: AsyncIterator[Listed], limit: int, caller: Caller) -> dict[str, Any]:
    data: list[orjson.Fragment] = []
    size, place = 0, ""
    async with aclosing(cast(AsyncGenerator[Listed, None], found)) as reading:
        async for view, shown, here in reading:
            if len(data) == limit or size > ANSWER_BYTES:
                return {"object": "list", "data": data, "has_more": True, "next": place}
            place = here
            if caller.sees_task(view):
                written = orjson.dumps(shown)
                data.append(orjson.Fragment(written))
                size += len(written)
    return {"object": "list", "data": data, "has_more": False, "next": None}


async def _ids(request: Request) -> list[str]:
    body = await json_object(request)
    known_fields(body, "", ("ids",))
    ids = body.get("ids")
    if not isinstance(ids, list) or not 1 <= len(ids) <= MOST_IDS or not all(isinstance(each, str) for each in ids):
        raise InputError(f"ids: it must be an array of 1 to {MOST_IDS} ids of tasks")
    return ids
