"""``GET /v1/tasks``: the tasks of a queue, page by page, each at a bounded cost.

Batches and failures have an order of their own, and running tasks an index. All others are met as the store has them,
in no order: an index of every task would cost every task. So a page ends after so many that were looked at, whether it
is full or not.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response

from taskfleet.api.taskobjects import task_object
from taskfleet.core.errors import InputError, NotFound
from taskfleet.core.task import QueueKey, TaskState, TaskView
from taskfleet.core.wiretime import wire_time
from taskfleet.gateway.answers import json_answer
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.paging import page_wanted
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.taskfilters import TaskFilter, read_filter
from taskfleet.gateway.wishes import HEADERS

MOST_LISTED, USUALLY_LISTED = 1000, 100
MOST_STEPS = 5000  # tasks, and places without one, that are looked at for a page
ANSWER_BYTES = 8 * 2**20  # beyond which a page has fewer tasks than were asked for
_FAILED = re.compile(r"([0-9]{1,15}):(.{1,128})")
_MET = re.compile(r"([0-9]{1,4})-([0-9]{1,20})-(.{0,128})")

Listed = tuple[TaskView | None, str, dict[str, Any]]
"""A task (None: none was here), where a list goes on behind it, and what is shown of it beside itself."""


class TaskListing:
    """Handler of ``GET /v1/tasks``."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._queues = parts.queues

    async def listing(self, request: Request, caller: Caller) -> Response:
        """What the filters show, behind ``after``, the ``next`` of the page before."""
        name = request.query_params.get("queue") or request.headers.get(HEADERS["queue"])
        wanted = read_filter(request.query_params, caller)
        page = page_wanted(request, most=MOST_LISTED, usual=USUALLY_LISTED)
        queue = (await self._queues.chosen(name, caller)).key
        found = await self._found(queue, wanted, page.after or "")
        data: list[orjson.Fragment] = []
        size = looked_at = 0
        place = ""
        async with aclosing(cast(AsyncGenerator[Listed, None], found)) as reading:
            async for view, here, more in reading:
                if len(data) == page.limit or size > ANSWER_BYTES or looked_at == MOST_STEPS:
                    return json_answer({"object": "list", "data": data, "has_more": True, "next": place})
                place = here
                looked_at += 1
                if view is not None and caller.sees_task(view) and wanted.shows(view):
                    written = orjson.dumps({**task_object(queue, view), **more})
                    data.append(orjson.Fragment(written))
                    size += len(written)
        return json_answer({"object": "list", "data": data, "has_more": False, "next": None})

    async def _found(self, queue: QueueKey, wanted: TaskFilter, after: str) -> AsyncIterator[Listed]:
        if wanted.batch is not None:
            if await self._store.batch(queue, wanted.batch) is None:
                raise NotFound(f"batch: there is no batch {wanted.batch!r} in queue {queue}")
            return self._of_batch(queue, wanted.batch, after)
        match wanted.status:
            case TaskState.FAILED:
                return self._failed(queue, after)
            case TaskState.RUNNING:
                return self._running(queue, after)
        return self._all(queue, after)

    async def _of_batch(self, queue: QueueKey, batch: str, after: str) -> AsyncIterator[Listed]:
        async for view in self._store.batch_tasks(queue, batch, after):
            yield view, view.id, {}

    async def _failed(self, queue: QueueKey, after: str) -> AsyncIterator[Listed]:
        place = _FAILED.fullmatch(after)
        if after and place is None:
            raise _no_place(after)
        seen = None if place is None else (int(place[1]) / 1000, place[2])
        async for letter in self._store.dead_letters(queue, seen):
            here = f"{round(letter.failed_at * 1000)}:{letter.task.id}"
            yield letter.task, here, {"failed_at": wire_time(letter.failed_at)}

    async def _running(self, queue: QueueKey, after: str) -> AsyncIterator[Listed]:
        ids = [task_id for task_id in sorted(await self._store.running(queue)) if task_id > after]
        for task_id, view in zip(ids, await self._store.get(queue, ids), strict=True):
            yield view, task_id, {}

    async def _all(self, queue: QueueKey, after: str) -> AsyncIterator[Listed]:
        place = _MET.fullmatch(after)
        if after and place is None:
            raise _no_place(after)
        here: tuple[int, int] | None = (0, 0) if place is None else (int(place[1]), int(place[2]))
        seen = "" if place is None else place[3]
        while here is not None:
            ids, following = await self._store.some_tasks(queue, here)
            ids = [task_id for task_id in sorted(ids) if task_id > seen]
            for task_id, view in zip(ids, await self._store.get(queue, ids), strict=True):
                yield view, f"{here[0]}-{here[1]}-{task_id}", {}
            if following is not None:
                yield None, f"{following[0]}-{following[1]}-", {}
            here, seen = following, ""


def _no_place(after: str) -> InputError:
    return InputError(f"after: {after[:140]!r} is not the next of a page of this list")
