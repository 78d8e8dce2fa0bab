"""How the OpenAI protocol streams a completion."""

from collections.abc import Mapping
from typing import Any

from taskfleet.providers.deltas import Deltas, Said
from taskfleet.providers.streams import ErrorInStream, NotACompletion, ServerSentEvents, cut, json_of


class OpenAIStream(ServerSentEvents):
    """Chunks as server-sent events. Only [DONE] tells that all came: one choice may end before another begins."""

    def __init__(self, said: Said) -> None:
        super().__init__()
        self._said = said
        self._whole = Deltas()
        self._usage: Any = None
        self._done = False

    def whole(self) -> Mapping[str, Any]:
        self._end_event()
        if not self._done:
            raise cut()
        return {"choices": self._whole.as_choices(), "usage": self._usage}

    def _take(self, data: bytes) -> None:
        if data.strip() == b"[DONE]":
            self._done = True
            return
        chunk = json_of(data)
        if chunk.get("error") or chunk.get("object") == "error":
            raise ErrorInStream(_status(chunk), data)
        self._usage = chunk.get("usage") or self._usage
        choices = chunk.get("choices") or []
        if not isinstance(choices, list):
            raise NotACompletion("whose stream holds choices that are no list")
        for choice in choices:
            if not isinstance(choice, Mapping) or not isinstance(choice.get("delta"), Mapping):
                raise NotACompletion("whose stream holds a choice without a delta")
            index = choice.get("index")
            piece = (index if isinstance(index, int) else 0, choice["delta"], choice.get("finish_reason"))
            self._whole.add(*piece)
            self._said(*piece)


def _status(chunk: Mapping[str, Any]) -> int:
    """What the server would have answered, had it not begun: some give it as the code of the error."""
    error = chunk.get("error")
    code = error.get("code") if isinstance(error, Mapping) else chunk.get("code")
    return code if isinstance(code, int) and 400 <= code < 600 else 500
