"""In a worker's place: how far a task is, and its end, by whoever runs it or knows what became of it."""

import random
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from taskfleet.api import taskfields
from taskfleet.api.taskobjects import task_object
from taskfleet.core.errors import AlreadyEnded, InputError, NotClaimed
from taskfleet.core.events import Progress
from taskfleet.core.outcome import Fatal, Retry
from taskfleet.core.settlement import CurrentLease, Settlement, Verdict
from taskfleet.core.task import QueueKey, TaskError, TaskState, is_task_id
from taskfleet.core.verdict import decide
from taskfleet.gateway.answers import json_answer
from taskfleet.gateway.bodies import known_fields, optional_object
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queues import OpenQueue
from taskfleet.gateway.taskfinder import TaskFinder, no_task

Ending = Callable[[OpenQueue, CurrentLease], Settlement]


class Endings:
    """Handlers of ``/v1/tasks/ID/progress``, ``complete`` and ``fail``."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._queues = parts.queues
        self._ends = parts.ends
        self._finder = TaskFinder(parts)

    async def progress(self, request: Request, caller: Caller) -> Response:
        """Tell how far a task that runs is: ``{"fraction"?: 0 to 1, "message"?, "fence"?}``."""
        body = await optional_object(request)
        fence, told = _fence(body), _progress(body)
        queue, view = await self._finder.asked_for(request, caller, held=fence is not None)
        while not await self._store.progress(queue, view.id, (await self._lease(queue, view.id, fence)).fence, told):
            pass  # another claim has taken its place
        shown = {"id": view.id, "object": "task", "fraction": told.fraction, "message": told.message}
        return json_answer(shown)

    async def complete(self, request: Request, caller: Caller) -> Response:
        """End a task that runs: ``{"output": text or object, "fence"?}``."""
        body = await optional_object(request)
        known_fields(body, "", ("output", "fence"))
        output = body.get("output")
        if not isinstance(output, str | dict) or not output:
            raise InputError("output: it must be given, as a text or an object")

        def ending(_queue: OpenQueue, lease: CurrentLease) -> Settlement:
            return Settlement(lease.task.id, lease.fence, Verdict.COMPLETE, output=output, run_seconds=lease.age)

        return await self._end(request, caller, _fence(body), ending)

    async def fail(self, request: Request, caller: Caller) -> Response:
        """End a task that runs: ``{"message", "code"?, "retry"?, "fence"?}``; with ``retry`` as the queue's policy
        says."""
        body = await optional_object(request)
        known_fields(body, "", ("message", "code", "retry", "fence"))
        words, code, retry = body.get("message"), body.get("code", "task_failed"), body.get("retry", False)
        if not isinstance(words, str) or not words.strip():
            raise InputError("message: it must be given: say in a sentence what happened")
        if not isinstance(code, str) or not is_task_id(code):
            raise InputError(f"code: {taskfields.shown(code)} is not one word, such as timeout")
        if not isinstance(retry, bool):
            raise InputError("retry: it must be true or false")
        error = TaskError(code, words)
        outcome = Retry(error) if retry else Fatal(error)

        def ending(queue: OpenQueue, lease: CurrentLease) -> Settlement:
            end = decide(outcome, lease.task.attempts, queue.spec.retry_policy, random.random())
            return Settlement(
                lease.task.id, lease.fence, end.verdict, end.delay, error=end.error, run_seconds=lease.age
            )

        return await self._end(request, caller, _fence(body), ending)

    async def _end(self, request: Request, caller: Caller, fence: int | None, ending: Ending) -> Response:
        """Settle the lease of this fence, which its holder gives; without one the current lease, and should another
        take its place meanwhile, it is that one that is ended."""
        queue, view = await self._finder.asked_for(request, caller, held=fence is not None)
        opened = await self._queues.open(queue)
        while not (await self._store.settle(queue, [ending(opened, await self._lease(queue, view.id, fence))]))[0]:
            pass  # another claim has taken its place
        self._ends.nudge(queue, [view.id])
        queue, view = await self._finder.find(view.id, queue, caller, held=fence is not None)
        return json_answer(task_object(queue, view))

    async def _lease(self, queue: QueueKey, task_id: str, fence: int | None) -> CurrentLease:
        lease = await self._store.current_lease(queue, task_id)
        if lease is None:
            raise no_task(task_id)
        if lease.task.state is TaskState.PENDING:
            raise NotClaimed(f"task {task_id!r} in {queue} is pending: nobody has claimed it")
        if lease.task.state.is_final:
            raise AlreadyEnded(f"task {task_id!r} in {queue} has {lease.task.state.value} already")
        if fence not in (None, lease.fence):
            raise NotClaimed(f"fence: task {task_id!r} in {queue} was claimed anew; drop it, it is someone else's now")
        return lease


def _fence(body: dict[str, Any]) -> int | None:
    """Which lease its holder means."""
    fence = body.get("fence")
    if isinstance(fence, bool) or not isinstance(fence, int | None):
        raise InputError("fence: it must be the number that came with the lease")
    return fence


def _progress(body: dict[str, Any]) -> Progress:
    known_fields(body, "", ("fraction", "message", "fence"))
    fraction, words = body.get("fraction"), body.get("message", "")
    if isinstance(fraction, bool) or not isinstance(fraction, int | float | None):
        raise InputError("fraction: it must be a number from 0 to 1")
    if not isinstance(words, str):
        raise InputError("message: it must be a text")
    return Progress(fraction, words)
