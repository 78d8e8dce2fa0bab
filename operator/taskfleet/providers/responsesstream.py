"""How a server of OpenAI's protocol streams a response: by events of its own, which are passed on as they are."""

from collections.abc import Mapping
from typing import Any

from taskfleet.providers.deltas import EVENTS, Said
from taskfleet.providers.streams import ErrorInStream, ServerSentEvents, cut, json_of

_ENDS = ("response.completed", "response.incomplete")
_STATUSES = {"rate_limit_exceeded": 429, "invalid_prompt": 400}


class ResponsesStream(ServerSentEvents):
    """Its last event has the whole response."""

    def __init__(self, said: Said) -> None:
        super().__init__()
        self._said = said
        self._response: Mapping[str, Any] | None = None

    def whole(self) -> Mapping[str, Any]:
        self._end_event()
        if self._response is None:
            raise cut()
        return self._response

    def _take(self, data: bytes) -> None:
        if data.strip() == b"[DONE]":  # some end with it as a chat does
            return
        event = json_of(data)
        response = event.get("response")
        failed = response.get("error") if isinstance(response, Mapping) else None
        if event.get("type") in ("error", "response.failed") or event.get("error"):
            error = failed or event.get("error") or event
            code = error.get("code") if isinstance(error, Mapping) else None
            raise ErrorInStream(_STATUSES.get(str(code), 500), data)
        if event.get("type") in _ENDS and isinstance(response, Mapping):
            self._response = response
        self._said(0, {EVENTS: [event]}, None)
