"""OpenAI's calls through the queue: each is a task, and who calls waits for its end."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from taskfleet.core.cleanup import to_its_end
from taskfleet.core.errors import DuplicateTask, InputError, QueueFull
from taskfleet.core.operation import Operation
from taskfleet.core.task import NewTask, Priority, QueueKey, TaskState, TaskView
from taskfleet.gateway.answers import Refused, json_answer
from taskfleet.gateway.bodies import Gone, hung_up, json_object, known_fields
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.chunks import ChatChunks, Wanted
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queues import OpenQueue, waiting_headers
from taskfleet.gateway.responseevents import ResponseEvents
from taskfleet.gateway.shapes import not_completed, result_headers, whole_answer
from taskfleet.gateway.sse import EventStream, last_event_id
from taskfleet.gateway.vectors import encoded
from taskfleet.gateway.wishes import Wishes, read_wishes, scoped

MOST_AT_ONCE = 1000
# Of OpenAI's own fields, those that say how to call; all else is for the model.
_STREAM_FIELDS = ("stream", "stream_options")
_STREAMS = {Operation.CHAT: ChatChunks, Operation.RESPONSES: ResponseEvents}


class Online:
    """Handlers of ``/v1/chat/completions``, ``/v1/completions``, ``/v1/embeddings`` and ``/v1/responses``."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._queues = parts.queues
        self._ends = parts.ends
        self._direct = parts.direct

    async def chat(self, request: Request, caller: Caller) -> Response:
        return await self._serve(Operation.CHAT, request, caller)

    async def completions(self, request: Request, caller: Caller) -> Response:
        return await self._serve(Operation.COMPLETIONS, request, caller)

    async def embeddings(self, request: Request, caller: Caller) -> Response:
        return await self._serve(Operation.EMBEDDINGS, request, caller)

    async def responses(self, request: Request, caller: Caller) -> Response:
        return await self._serve(Operation.RESPONSES, request, caller)

    async def chats(self, request: Request, caller: Caller) -> Response:
        """``/v1/chat/completions/batch``: many at once, none of them waited for."""
        body = await json_object(request)
        wishes = read_wishes(request.headers, body)
        known_fields(body, "", ("requests",))
        requests = body.get("requests")
        if not isinstance(requests, list) or not 1 <= len(requests) <= MOST_AT_ONCE:
            raise InputError(f"requests: it must be an array of 1 to {MOST_AT_ONCE} requests")
        if "idempotency_key" in wishes.task:
            raise InputError("Idempotency-Key: it stands for one task; send each request with its own, or leave it out")
        queue = await self._queues.chosen(wishes.queue, caller)
        tasks = []
        for number, each in enumerate(requests):
            if not isinstance(each, dict):
                raise InputError(f"requests[{number}]: it must be an object")
            try:
                tasks.append(new_task(Operation.CHAT, each, wishes, queue, caller, Priority.NORMAL))
            except InputError as error:
                raise type(error)(f"requests[{number}].{error}") from None
        await self._submit(queue, tasks)
        ids = [task.id for task in tasks]
        return json_answer({"object": "list", "data": [_receipt(queue.key, each) for each in ids]}, 202)

    async def _serve(self, operation: Operation, request: Request, caller: Caller) -> Response:
        body = await json_object(request)
        wishes = read_wishes(request.headers, body)
        queue = await self._queues.chosen(wishes.queue, caller)
        later = _flag(request, "batch")
        usual = Priority.NORMAL if later else Priority.HIGH
        streams = operation in _STREAMS and not later
        task = new_task(operation, body, wishes, queue, caller, usual, streams=streams)
        if later:
            await self._submit(queue, [task])
            return await self._accepted(queue, task)
        queue.check_served(task.model)
        task = self._direct.held(queue, task)
        if task.events:
            return await self._stream(operation, request, queue, task, wishes, body)
        task = replace(task, announced=True)
        with self._ends.expected(queue.key, task.id) as ended:
            if not await self._submit(queue, [task]):  # its idempotency key was there already
                self._ends.nudge(queue.key, [task.id])
            encoding = body.get("encoding_format")
            del body
            task = replace(task, body=b"")  # the store has it: who waits long holds nothing large
            self._direct.offer(queue, task)
            view = await self._wait(request.receive, ended, queue.key, task, wishes)
        if view is None:
            self._direct.goes_on(queue.key, task.id)
            return await self._accepted(queue, task)
        self._direct.withdraw(queue.key, task.id)
        if view.state is not TaskState.COMPLETED:
            raise not_completed(queue.key, view)
        answer = whole_answer(view, operation)
        if operation is Operation.EMBEDDINGS:
            answer = encoded(answer, encoding)
        return json_answer(answer, headers=result_headers(queue.key, view))

    async def _stream(
        self,
        operation: Operation,
        request: Request,
        queue: OpenQueue,
        task: NewTask,
        wishes: Wishes,
        body: Mapping[str, Any],
    ) -> Response:
        after = last_event_id(request.headers)
        if after and not task.once:
            raise InputError("Last-Event-ID: send the Idempotency-Key of the first time too; it says which task it was")
        wanted = Wanted(after, _wants_usage(body), wishes.restarts or bool(after))
        await self._submit(queue, [task])
        task = replace(task, body=b"")  # the store has it: an open stream holds nothing large
        self._direct.offer(queue, task)
        self._direct.goes_on(queue.key, task.id)
        chunks = _STREAMS[operation](self._store, queue.key, task.id, task.model, round(time.time()), wanted)
        headers = {"Taskfleet-Task": task.id, "Taskfleet-Queue": str(queue.key)}
        return EventStream(chunks.parts(), headers, partial(self._give_up, queue.key, task, wishes))

    async def _submit(self, queue: OpenQueue, tasks: list[NewTask]) -> int:
        """How many were new."""
        try:
            return await self._store.submit(queue.key, tasks)
        except QueueFull as error:
            waiting = queue.stats.pending
            headers = waiting_headers(queue, waiting, tasks[0].model)
            soon = queue.eta_seconds(0, tasks[0].model) or error.retry_after
            raise Refused(429, error.code, str(error), {**headers, "Retry-After": str(max(1, round(soon)))}) from None

    async def _wait(
        self, receive: Receive, ended: "asyncio.Future[TaskView]", queue: QueueKey, task: NewTask, wishes: Wishes
    ) -> TaskView | None:
        """The task once it has ended; None when the wait was to be shorter. Raises Gone when the client went away: then
        the task is cancelled, unless it is to go on."""
        gone = asyncio.create_task(hung_up(receive))
        try:
            await asyncio.wait((ended, gone), timeout=wishes.wait, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await to_its_end(self._give_up(queue, task, wishes))
            raise
        finally:
            gone.cancel()
        if ended.done():
            return ended.result()
        if not gone.done():
            return None
        await self._give_up(queue, task, wishes)
        raise Gone

    async def _give_up(self, queue: QueueKey, task: NewTask, wishes: Wishes) -> None:
        """Nobody waits for it any more. One with an idempotency key may be asked for again, or by others already."""
        if wishes.detach or task.once:
            self._direct.goes_on(queue, task.id)
        else:
            self._direct.withdraw(queue, task.id)
            await self._store.cancel(queue, [task.id])

    async def _accepted(self, queue: OpenQueue, task: NewTask) -> Response:
        ahead = await self._store.ahead_of(queue.key, task.id)
        headers = {"Taskfleet-Task": task.id, "Taskfleet-Queue": str(queue.key), "Location": f"/v1/tasks/{task.id}"}
        return json_answer(_receipt(queue.key, task.id), 202, headers | dict(waiting_headers(queue, ahead, task.model)))


def new_task(
    operation: Operation,
    body: dict[str, Any],
    wishes: Wishes,
    queue: OpenQueue,
    caller: Caller,
    usual: Priority,
    *,
    streams: bool = False,
) -> NewTask:
    """The task that a request of OpenAI's form is; ``streams``: it may be answered piece by piece.

    Raises InputError in the request's own words, Refused (403).
    """
    if body.get("stream") and not streams:
        raise InputError("stream: this call is answered whole; leave it out or send false")
    if operation is Operation.RESPONSES and body.get("background"):
        raise InputError("background: nothing would be kept under its id here; call with ?batch=true in its place")
    tenant = caller.tenant_for(wishes.tenant)
    fields = {
        **scoped(wishes.task, caller, tenant),
        "operation": operation.value,
        "priority": caller.priority_for(wishes.priority, usual).label,
        "tenant": tenant,
        "stream": body.get("stream"),
        "model": body.pop("model", None),
        "parameters": {name: value for name, value in body.items() if name not in _STREAM_FIELDS},
    }
    if operation is Operation.CHAT:
        fields["messages"] = fields["parameters"].pop("messages", None)
        if fields["messages"] is None:
            raise InputError("messages: it is missing; give an array of messages")
    try:
        return queue.reader.build(fields)
    except InputError as error:
        raise _in_their_words(error) from None


def _in_their_words(error: InputError) -> InputError:
    """OpenAI's requests have what a task line has in ``parameters`` at their top."""
    return type(error)(str(error).removeprefix("parameters.")) if not isinstance(error, DuplicateTask) else error


def _wants_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    if not isinstance(options, dict | None):
        raise InputError("stream_options: it must be an object")
    return bool(options and options.get("include_usage"))


def _receipt(queue: QueueKey, task_id: str) -> dict[str, Any]:
    return {"id": task_id, "object": "task", "status": TaskState.PENDING.value, "queue": str(queue)}


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise InputError(f"{name}: {text[:40]!r} is neither true nor false")
    return text == "true"
