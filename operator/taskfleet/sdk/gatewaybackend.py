"""A queue behind a gateway, known over HTTP only. What the gateway says is wrong is raised by its type."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from pydantic import ValidationError

from taskfleet.api.taskobjects import task_view
from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.api.taskreader import TaskReader
from taskfleet.core.errors import GatewayUnreachable, InputError, NotFound, StoreSchemaMismatch
from taskfleet.core.events import EventKind, Progress, TaskEvent
from taskfleet.core.settlement import DeadLetter, QueueStats
from taskfleet.core.task import NewTask, QueueKey, TaskView, is_task_id
from taskfleet.core.wiretime import moment_of
from taskfleet.sdk.backend import Readers
from taskfleet.sdk.gatewayhttp import Body, GatewayHttp
from taskfleet.sdk.gatewaynews import GatewayNews
from taskfleet.sdk.takeback import sent_or_taken_back

AT_ONCE = 1000
AWAY_SECONDS = 0.5
_PIECE_BYTES = 256 * 1024
_TIMES = ("oldest_pending_at", "next_due_at", "now", "paused_until")


class LineReader(TaskReader):
    """Checks a task as the gateway will. The ``body`` of its tasks is the line that is sent."""

    def build(self, fields: dict[str, Any]) -> NewTask:
        task = super().build(fields)
        identity = {} if task.once else {"id": task.id}
        given = {name: value for name, value in fields.items() if value is not None}
        return replace(task, body=orjson.dumps(given | identity))


class GatewayBackend:
    """See ``Backend``."""

    def __init__(self, http: GatewayHttp, queue: QueueKey, news: GatewayNews) -> None:
        self._http = http
        self._queue = queue
        self._news = news
        self._readers = Readers(self._read_rules)

    @property
    def name(self) -> str:
        return str(self._queue)

    async def reader(self) -> TaskReader:
        return await self._readers.newest()

    async def _read_rules(self) -> TaskReader:
        return LineReader(spec_of(await self._http.get(self._http.queue), self._http))

    async def submit(self, tasks: Iterable[NewTask], batch: str | None = None) -> int:
        given = list(tasks)
        return await sent_or_taken_back(self._send(given, batch), given, self.cancel) if given else 0

    async def _send(self, tasks: Sequence[NewTask], batch: str | None) -> int:
        query = {} if batch is None else {"batch": batch}
        return int((await self._http.upload("/v1/tasks", _joined(tasks), **query))["new"])

    async def get(self, ids: Sequence[str]) -> Sequence[TaskView | None]:
        found: list[TaskView | None] = []
        while len(found) < len(ids):  # an answer is shorter than asked for when its tasks are big
            asked = list(ids[len(found) : len(found) + AT_ONCE])
            answer = await self._http.post("/v1/tasks/lookup", {"ids": asked})
            found += (None if shown is None else task_view(shown) for shown in answer["data"])
        return found

    async def cancel(self, ids: Sequence[str]) -> dict[str, str]:
        outcome: dict[str, str] = {}
        for first in range(0, len(ids), AT_ONCE):
            answer = await self._http.post("/v1/tasks/cancel", {"ids": list(ids[first : first + AT_ONCE])})
            outcome |= answer["outcome"]
        return outcome

    async def stats(self) -> QueueStats:
        return await queue_stats(self._http)

    async def events(self, task_id: str, after: str) -> AsyncIterator[TaskEvent]:
        if not is_task_id(task_id):
            raise NotFound(f"task {task_id!r} is not in {self.name}: no task has such an id")
        if not after.isprintable() or not after.isascii():
            raise InputError(f"after: {after!r} is not the id of an event; give that of the last one you got")
        reached = False
        while True:
            try:
                async for kind, identity, data in self._http.events(f"/v1/tasks/{task_id}/events", after=after):
                    reached, after = True, identity or after
                    at = data.pop("at")
                    yield TaskEvent(identity, EventKind(kind), None if at is None else moment_of(at), data)
                    if kind == EventKind.FINISHED:
                        return
            except GatewayUnreachable:
                if not reached:
                    raise
            await asyncio.sleep(AWAY_SECONDS)

    def all_progress(self) -> AsyncIterator[Mapping[str, Progress]]:
        return self._news.all_progress()

    async def batch_tasks(self, batch: str) -> AsyncIterator[TaskView]:
        try:
            async for shown in self._listed(batch=batch):
                yield task_view(shown)
        except NotFound:
            return

    async def dead_letters(self) -> AsyncIterator[DeadLetter]:
        async for shown in self._listed(status="failed"):
            yield DeadLetter(task_view(shown), moment_of(shown["failed_at"]))

    async def _listed(self, **what: str) -> AsyncIterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            page = await self._http.get("/v1/tasks", limit=str(AT_ONCE), **what, **more)
            for shown in page["data"]:
                yield shown
            if not page["has_more"]:
                return
            more = {"after": page["next"]}

    async def forget(self, ids: Sequence[str]) -> None:
        """Nothing: others may read them too."""


def spec_of(shown: Any, http: GatewayHttp) -> TaskQueueSpec:
    """The rules of a queue that the gateway shows. Raises StoreSchemaMismatch."""
    try:
        return TaskQueueSpec.model_validate(shown["spec"])
    except (KeyError, TypeError, ValidationError) as error:
        raise StoreSchemaMismatch(f"the gateway at {http.url} is of another version: {error}") from error


async def queue_stats(http: GatewayHttp) -> QueueStats:
    """The queue in numbers; its times are to the second."""
    shown = await http.get(f"{http.queue}/stats")
    numbers = {name: value for name, value in shown.items() if name not in ("object", "queue")}
    for name in _TIMES:
        numbers[name] = None if numbers[name] is None else moment_of(numbers[name])
    return QueueStats(**numbers)


def _joined(tasks: Sequence[NewTask]) -> Body:
    if sum(len(task.body) for task in tasks) <= _PIECE_BYTES:
        return b"\n".join(task.body for task in tasks)
    return _pieces(tasks)


async def _pieces(tasks: Sequence[NewTask]) -> AsyncIterator[bytes]:
    piece: list[bytes] = []
    size = 0
    for task in tasks:
        piece += (task.body, b"\n")
        size += len(task.body)
        if size > _PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
    yield b"".join(piece)
