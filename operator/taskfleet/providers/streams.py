"""Answers that come line by line: what all protocols of model servers have in common when they stream. Pure."""

from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from taskfleet.providers.answer import Answer, NoAnswer

LEVELS_AROUND = 8  # at most, in records, events and the answers of a gateway


class NotACompletion(Exception):
    """A 200 that is none: rubbish never completes a task. The text says what it lacks."""


class ErrorInStream(Exception):
    """The server answered 200 and reports its trouble in the stream; ``answer`` is what it could have answered."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(body)
        self.answer = Answer(status, {}, body)


class AnswerStream(Protocol):
    """Reads one streamed answer and tells a ``Said`` of its pieces. Raises NotACompletion and ErrorInStream."""

    def line(self, line: bytes) -> None: ...

    def whole(self) -> Mapping[str, Any]:
        """Once it has ended: the JSON of an answer that was not streamed. NoAnswer when it was cut before its end."""
        ...


def cut() -> NoAnswer:
    return NoAnswer("answer_cut", "the stream ended inside the answer")


def json_of(text: bytes) -> Mapping[str, Any]:
    """Errors: NotACompletion."""
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError:
        data = None
    if not isinstance(data, Mapping):
        raise NotACompletion(f"with a stream in which {len(text)} bytes are no JSON object")
    check_depth(data)
    return data


def check_depth(data: Any) -> None:
    """Errors: NotACompletion. JSON is read that is nested deeper than it can be written, and we put more around it."""
    for _ in range(LEVELS_AROUND):
        data = [data]
    try:
        orjson.dumps(data)
    except orjson.JSONEncodeError:
        raise NotACompletion("that is nested too deep to be kept") from None


class ServerSentEvents:
    """An answer as ``text/event-stream``; the data of each event goes to ``_take``. Who names its events says so in
    their data too."""

    def __init__(self) -> None:
        self._data: list[bytes] = []

    def line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line:
            self._end_event()

    def _end_event(self) -> None:
        """Also of one that no blank line ended."""
        data, self._data = self._data, []
        if data:
            self._take(b"\n".join(data))

    def _take(self, data: bytes) -> None:
        raise NotImplementedError
