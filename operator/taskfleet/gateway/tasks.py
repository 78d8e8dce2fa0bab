"""``/v1/tasks``: task lines in, tasks and results out."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from taskfleet.api import taskfields
from taskfleet.api.taskobjects import task_object
from taskfleet.core.errors import AlreadyEnded, InputError
from taskfleet.core.events import TaskEvent
from taskfleet.core.task import NewTask, QueueKey, TaskView, is_task_id, is_tenant
from taskfleet.core.wiretime import wire_time
from taskfleet.gateway.answers import json_answer
from taskfleet.gateway.bodies import json_value, known_fields
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.jsonl import Lines, is_jsonl, spooled
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queues import OpenQueue, waiting_headers
from taskfleet.gateway.shapes import result_headers
from taskfleet.gateway.sse import EventStream, heard, last_event_id, message
from taskfleet.gateway.taskfinder import TaskFinder
from taskfleet.gateway.wishes import Wishes, read_wishes, scoped, seconds_of

MOST_AT_ONCE = 100_000


class Tasks:
    """Handlers of ``/v1/tasks``."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._queues = parts.queues
        self._ends = parts.ends
        self._finder = TaskFinder(parts)

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
        _, view = await self._finder.find(task.id, queue.key, caller)
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
        queue, view = await self._finder.asked_for(request, caller)
        return json_answer(task_object(queue, view), headers=result_headers(queue, view))

    async def status(self, request: Request, caller: Caller) -> Response:
        """Where it stands, without its result."""
        queue, view = await self._finder.asked_for(request, caller)
        return await self._standing(queue, view, 200)

    async def result(self, request: Request, caller: Caller) -> Response:
        """The task once it has ended, waited for as long as ``wait`` says; 202 and where it stands otherwise."""
        seconds = seconds_of(request.query_params.get("wait", "0"), "wait")
        queue, view = await self._finder.asked_for(request, caller)
        if not view.state.is_final and seconds:
            with self._ends.expected(queue, view.id) as ended:
                self._ends.nudge(queue, [view.id])  # it may have ended since it was looked at
                await asyncio.wait((ended,), timeout=seconds)
            view = ended.result() if ended.done() else (await self._finder.find(view.id, queue, caller))[1]
        if not view.state.is_final:
            return await self._standing(queue, view, 202)
        return json_answer(task_object(queue, view), headers=result_headers(queue, view))

    async def events(self, request: Request, caller: Caller) -> Response:
        """What is told of it, as server-sent events, to its end; behind ``Last-Event-ID``."""
        after = last_event_id(request.headers)
        queue, view = await self._finder.asked_for(request, caller)
        return EventStream(_told(self._store.events(queue, view.id, after)), result_headers(queue, view), _nothing)

    async def cancel(self, request: Request, caller: Caller) -> Response:
        queue, view = await self._finder.asked_for(request, caller)
        word = (await self._store.cancel(queue, [view.id]))[view.id]
        if word == "finished":
            raise AlreadyEnded(f"task {view.id!r} in {queue} has {view.state.value} already; its result stays as it is")
        self._ends.nudge(queue, [view.id])
        return json_answer({"id": view.id, "object": "task", "queue": str(queue), "status": word})

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


async def _told(events: AsyncIterator[TaskEvent]) -> AsyncIterator[bytes]:
    async for event in heard(events):
        if event is None:
            yield b": still waiting\n\n"
        else:
            at = None if event.at is None else wire_time(event.at)
            yield message({**event.data, "at": at}, event=event.kind.value, identity=event.id)


async def _nothing() -> None:
    """Whoever only looks leaves no trace."""


def _task(line: dict[str, Any], wishes: Wishes, queue: OpenQueue, caller: Caller) -> NewTask:
    """The task of a line, which is another's only where the caller may submit for others."""
    asked = taskfields.priority(line) if "priority" in line else wishes.priority
    usual = taskfields.priority({})
    tenant = caller.tenant_for(taskfields.name(line, "tenant", is_tenant, 63) or wishes.tenant)
    own = {"priority": caller.priority_for(asked, usual).label, "tenant": tenant}
    return queue.reader.build(scoped(line, caller, tenant) | own)
