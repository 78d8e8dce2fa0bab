"""A response that is streamed: the events of its task as the model server's own events."""

from collections.abc import Iterator, Mapping
from typing import Any

from taskfleet.core.events import TaskEvent
from taskfleet.core.operation import Operation
from taskfleet.core.task import TaskView
from taskfleet.gateway.chunks import ChatChunks
from taskfleet.gateway.shapes import whole_answer
from taskfleet.gateway.sse import message


class ResponseEvents(ChatChunks):
    """As of a chat, in the form of ``/v1/responses``. Of events that were told together the last one has their id: who
    comes back behind it has had all of them."""

    def _piece(self, event: TaskEvent) -> bytes:
        told = [each for choice in event.data["choices"] for each in choice["delta"].get("events", ())]
        parts = [_event(each) for each in told[:-1]]
        return b"".join((*parts, *(_event(each, event.id) for each in told[-1:])))

    def _new_beginning(self, event: TaskEvent) -> bytes:
        return _event({"type": f"taskfleet.{event.kind.value}", **event.data}, event.id)

    def _last(self, view: TaskView) -> Iterator[bytes]:
        if not self._said:  # who answered did not say it piece by piece, or that is no longer kept
            answer = whole_answer(view, Operation.RESPONSES)
            yield _event({"type": "response.completed", "sequence_number": 0, "response": answer})


def _event(data: Mapping[str, Any], identity: str = "") -> bytes:
    return message(data, event=str(data.get("type", "message")), identity=identity)
