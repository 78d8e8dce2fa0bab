"""A chat that is streamed: the events of its task as OpenAI's chunks."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from taskfleet.core.events import EventKind, TaskEvent
from taskfleet.core.operation import Operation
from taskfleet.core.task import QueueKey, TaskState, TaskView
from taskfleet.gateway.answers import Refused
from taskfleet.gateway.shapes import not_completed, usage_of, whole_answer
from taskfleet.gateway.sse import heard, message
from taskfleet.store import Store

_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a client has its chunks. ``after``: the event that it had last. ``usage``: a last chunk counts tokens.
    ``restarts``: it is told of a new attempt, and drops what it had; else that ends its stream."""

    after: str
    usage: bool
    restarts: bool


class ChatChunks:
    """The chunks of one task, to its end. Iterate ``parts`` once."""

    def __init__(self, store: Store, queue: QueueKey, task_id: str, model: str, created: int, wanted: Wanted) -> None:
        self._store = store
        self._queue = queue
        self._task_id = task_id
        self._head = {"id": task_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._wanted = wanted
        self._said = bool(wanted.after)  # whether the client has a part of an answer

    async def parts(self) -> AsyncIterator[bytes]:
        """Raises Refused for an end without a result, and where what follows would not join what came before."""
        async for event in heard(self._store.events(self._queue, self._task_id, self._wanted.after)):
            if event is None:
                yield b": still waiting\n\n"
            elif event.kind is EventKind.FINISHED:
                for part in self._last(await self._ended()):
                    yield part
            else:
                for part in self._shown(event):
                    yield part

    def _shown(self, event: TaskEvent) -> list[bytes]:
        match event.kind:
            case EventKind.CHUNK:
                self._said = True
                return [self._piece(event)]
            case EventKind.STARTED | EventKind.RESTARTED:
                self._head["model"] = event.data.get("model", self._head["model"])
        if event.kind not in (EventKind.RESTARTED, EventKind.TRIMMED) or not self._said:
            return []
        if not self._wanted.restarts:
            words = f"the answer began anew after a part was sent; the whole is at /v1/tasks/{self._task_id}/result"
            raise Refused(502, event.kind.value, words)
        self._said = False
        return [self._new_beginning(event)]

    def _piece(self, event: TaskEvent) -> bytes:
        return self._chunk(event.data["choices"], event.id)

    def _new_beginning(self, event: TaskEvent) -> bytes:
        """What it said before is void, or a part of it is no longer there."""
        return self._chunk([], event.id, {"taskfleet": {"event": event.kind.value, **event.data}})

    async def _ended(self) -> TaskView:
        (view,) = await self._store.get(self._queue, [self._task_id])
        if view is None:
            raise Refused(404, "not_found", f"the result of task {self._task_id} is no longer kept")
        if view.state is not TaskState.COMPLETED:
            raise not_completed(self._queue, view)
        return view

    def _last(self, view: TaskView) -> Iterator[bytes]:
        answer = whole_answer(view, Operation.CHAT)
        if not self._said:  # who answered did not say it piece by piece, or that is no longer kept
            yield self._chunk([_delta(choice) for choice in answer["choices"]])
        if self._wanted.usage:
            yield self._chunk([], "", {"usage": answer.get("usage") or usage_of(view)})
        yield _DONE

    def _chunk(self, choices: Any, identity: str = "", more: Mapping[str, Any] | None = None) -> bytes:
        return message({**self._head, "choices": choices, **(more or {})}, identity=identity)


def _delta(choice: Mapping[str, Any]) -> dict[str, Any]:
    said = choice["message"]
    calls = said.get("tool_calls")
    delta = said if not calls else {**said, "tool_calls": [{"index": at, **call} for at, call in enumerate(calls)]}
    return {"index": choice.get("index", 0), "delta": delta, "finish_reason": choice.get("finish_reason") or "stop"}
