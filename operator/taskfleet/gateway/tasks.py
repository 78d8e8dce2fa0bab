"""``/v1/tasks``: task lines in, tasks and results out; and their ends by someone in a worker's place."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from taskfleet.api import taskfields
from taskfleet.api.taskobjects import task_object
from taskfleet.core.errors import AlreadyEnded, InputError, NotClaimed, NotFound
from taskfleet.core.events import Progress, TaskEvent
from taskfleet.core.outcome import Fatal, Retry
from taskfleet.core.settlement import CurrentLease, Settlement, Verdict
from taskfleet.core.task import NewTask, QueueKey, TaskError, TaskState, TaskView, is_task_id, is_tenant
from taskfleet.core.verdict import decide
from taskfleet.core.wiretime import wire_time
from taskfleet.gateway.answers import json_answer
from taskfleet.gateway.bodies import json_value, known_fields, optional_object
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.jsonl import Lines, is_jsonl, spooled
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queues import OpenQueue, waiting_headers
from taskfleet.gateway.shapes import result_headers
from taskfleet.gateway.sse import EventStream, heard, last_event_id, message
from taskfleet.gateway.wishes import HEADERS, Wishes, read_wishes, scoped, seconds_of

MOST_AT_ONCE = 100_000
Ending = Callable[[OpenQueue, CurrentLease], Settlement]


class Tasks:
    """Handlers of ``/v1/tasks``."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._queues = parts.queues
        self._ends = parts.ends

    async def submit(self, request: Request, caller: Caller) -> Response:
        """One task line, or ``{"tasks": [...], "batch"?}``: all of them or none. JSONL: any number of lines."""
        if is_jsonl(request):
            return await self._submit_lines(request, caller)
        body = await json_value(request)
        if not isinstance(body, dict):
            raise InputError('body: it must be an object: a task such as {"prompt": "Hi"}, or {"tasks": [...]}')
        wishes = read_wishes(request.headers, body)
        queue = await self._queues.chosen(wishes.queue, caller)
        if "tasks" in body:
            return await self._submit_many(body, wishes, queue, caller)
        task = _task(dict(wishes.task) | body, wishes, queue, caller)
        new = await self._store.submit(queue.key, [task])
        _, view = await self._find(task.id, queue.key, caller)
        headers = result_headers(queue.key, view) | {"Location": f"/v1/tasks/{task.id}"}
        return json_answer(task_object(queue.key, view), 202 if new else 200, headers)

    async def _submit_many(self, body: dict[str, Any], wishes: Wishes, queue: OpenQueue, caller: Caller) -> Response:
        known_fields(body, "", ("tasks", "batch"))
        lines, batch = body["tasks"], body.get("batch", f"batch-{secrets.token_hex(6)}")
        if not isinstance(lines, list) or not 1 <= len(lines) <= MOST_AT_ONCE:
            raise InputError(f"tasks: it must be an array of 1 to {MOST_AT_ONCE} tasks")
        if not isinstance(batch, str) or not is_task_id(batch):
            raise InputError("batch: it is not a name: 1 to 128 letters, digits and . _ : -")
        if wishes.task.keys() & {"idempotency_key"}:
            raise InputError("Idempotency-Key: it stands for one task; give each task its own idempotency_key")
        tasks = []
        for number, line in enumerate(lines):
            if not isinstance(line, dict):
                raise InputError(f"tasks[{number}]: it must be an object")
            try:
                tasks.append(_task(dict(wishes.task) | line, wishes, queue, caller))
            except InputError as error:
                raise type(error)(f"tasks[{number}].{error}") from None
        new = await self._store.submit(queue.key, tasks, batch=batch)
        data = [{"id": task.id, "object": "task"} for task in tasks]
        shown = {"object": "list", "queue": str(queue.key), "batch": batch, "new": new, "data": data}
        return json_answer(shown, 202 if new else 200)

    async def _submit_lines(self, request: Request, caller: Caller) -> Response:
        """A task line on each line of the body; ``?batch=NAME`` names them as one."""
        wishes = read_wishes(request.headers, {})
        batch = request.query_params.get("batch")
        if batch is not None and not is_task_id(batch):
            raise InputError("batch: it is not a name: 1 to 128 letters, digits and . _ : -")
        if "idempotency_key" in wishes.task:
            raise InputError("Idempotency-Key: it stands for one task; give each line its own idempotency_key")
        queue = await self._queues.chosen(request.query_params.get("queue") or wishes.queue, caller)
        async with spooled(request) as body:
            tasks = Lines(body, lambda line: _task(dict(wishes.task) | line, wishes, queue, caller))
            new = await self._store.submit(queue.key, tasks, batch=batch)
        shown = {"object": "submission", "queue": str(queue.key), "batch": batch, "total": tasks.count, "new": new}
        return json_answer(shown, 202 if new else 200)

    async def show(self, request: Request, caller: Caller) -> Response:
        queue, view = await self._asked_for(request, caller)
        return json_answer(task_object(queue, view), headers=result_headers(queue, view))

    async def status(self, request: Request, caller: Caller) -> Response:
        """Where it stands, without its result."""
        queue, view = await self._asked_for(request, caller)
        return await self._standing(queue, view, 200)

    async def result(self, request: Request, caller: Caller) -> Response:
        """The task once it has ended, waited for as long as ``wait`` says; 202 and where it stands otherwise."""
        seconds = seconds_of(request.query_params.get("wait", "0"), "wait")
        queue, view = await self._asked_for(request, caller)
        if not view.state.is_final and seconds:
            with self._ends.expected(queue, view.id) as ended:
                self._ends.nudge(queue, [view.id])  # it may have ended since it was looked at
                await asyncio.wait((ended,), timeout=seconds)
            view = ended.result() if ended.done() else (await self._find(view.id, queue, caller))[1]
        if not view.state.is_final:
            return await self._standing(queue, view, 202)
        return json_answer(task_object(queue, view), headers=result_headers(queue, view))

    async def events(self, request: Request, caller: Caller) -> Response:
        """What is told of it, as server-sent events, to its end; behind ``Last-Event-ID``."""
        after = last_event_id(request.headers)
        queue, view = await self._asked_for(request, caller)
        return EventStream(_told(self._store.events(queue, view.id, after)), result_headers(queue, view), _nothing)

    async def progress(self, request: Request, caller: Caller) -> Response:
        """Tell how far a task that runs is: ``{"fraction"?: 0 to 1, "message"?, "fence"?}``."""
        body = await optional_object(request)
        fence, told = _fence(body), _progress(body)
        queue, view = await self._asked_for(request, caller, held=fence is not None)
        while not await self._store.progress(queue, view.id, (await self._lease(queue, view.id, fence)).fence, told):
            pass  # another claim has taken its place
        shown = {"id": view.id, "object": "task", "fraction": told.fraction, "message": told.message}
        return json_answer(shown)

    async def cancel(self, request: Request, caller: Caller) -> Response:
        queue, view = await self._asked_for(request, caller)
        word = (await self._store.cancel(queue, [view.id]))[view.id]
        if word == "finished":
            raise AlreadyEnded(f"task {view.id!r} in {queue} has {view.state.value} already; its result stays as it is")
        self._ends.nudge(queue, [view.id])
        return json_answer({"id": view.id, "object": "task", "queue": str(queue), "status": word})

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
        queue, view = await self._asked_for(request, caller, held=fence is not None)
        opened = await self._queues.open(queue)
        while not (await self._store.settle(queue, [ending(opened, await self._lease(queue, view.id, fence))]))[0]:
            pass  # another claim has taken its place
        self._ends.nudge(queue, [view.id])
        queue, view = await self._find(view.id, queue, caller, held=fence is not None)
        return json_answer(task_object(queue, view))

    async def _lease(self, queue: QueueKey, task_id: str, fence: int | None) -> CurrentLease:
        lease = await self._store.current_lease(queue, task_id)
        if lease is None:
            raise _no_task(task_id)
        if lease.task.state is TaskState.PENDING:
            raise NotClaimed(f"task {task_id!r} in {queue} is pending: nobody has claimed it")
        if lease.task.state.is_final:
            raise AlreadyEnded(f"task {task_id!r} in {queue} has {lease.task.state.value} already")
        if fence not in (None, lease.fence):
            raise NotClaimed(f"fence: task {task_id!r} in {queue} was claimed anew; drop it, it is someone else's now")
        return lease

    async def _standing(self, queue: QueueKey, view: TaskView, status: int) -> Response:
        shown: dict[str, Any] = {
            "id": view.id,
            "object": "task",
            "queue": str(queue),
            "status": view.state.value,
            "attempts": view.attempts,
            "error": view.error and {"code": view.error.code, "message": view.error.message},
        }
        ahead = None if view.state.is_final else await self._store.ahead_of(queue, view.id)
        headers = dict(waiting_headers(await self._queues.open(queue), ahead, view.model))
        shown["ahead"] = ahead
        return json_answer(shown, status, headers)

    async def _asked_for(self, request: Request, caller: Caller, *, held: bool = False) -> tuple[QueueKey, TaskView]:
        """The task of a request's path, in the queue that it names or in any that the caller may use. ``held``: the
        caller has its lease, whose ever it is."""
        name = request.query_params.get("queue") or request.headers.get(HEADERS["queue"])
        queue = None if name is None else (await self._queues.chosen(name, caller)).key
        return await self._find(request.path_params["id"], queue, caller, held=held)

    async def _find(
        self, task_id: str, queue: QueueKey | None, caller: Caller, *, held: bool = False
    ) -> tuple[QueueKey, TaskView]:
        """Raises NotFound, also for what is another tenant's."""
        places = await self._queues.visible(caller) if queue is None else [queue]
        for place in places if is_task_id(task_id) else ():
            (view,) = await self._store.get(place, [task_id])
            if view is not None and (held or caller.sees_task(view)):
                return place, view
        raise _no_task(task_id)


async def _told(events: AsyncIterator[TaskEvent]) -> AsyncIterator[bytes]:
    async for event in heard(events):
        if event is None:
            yield b": still waiting\n\n"
        else:
            at = None if event.at is None else wire_time(event.at)
            yield message({**event.data, "at": at}, event=event.kind.value, identity=event.id)


async def _nothing() -> None:
    """Whoever only looks leaves no trace."""


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


def _no_task(task_id: str) -> NotFound:
    return NotFound(f"there is no task {task_id[:128]!r} here; finished ones are kept for the queue's retention time")


def _task(line: dict[str, Any], wishes: Wishes, queue: OpenQueue, caller: Caller) -> NewTask:
    """The task of a line, which is another's only where the caller may submit for others."""
    asked = taskfields.priority(line) if "priority" in line else wishes.priority
    usual = taskfields.priority({})
    tenant = caller.tenant_for(taskfields.name(line, "tenant", is_tenant, 63) or wishes.tenant)
    own = {"priority": caller.priority_for(asked, usual).label, "tenant": tenant}
    return queue.reader.build(scoped(line, caller, tenant) | own)
