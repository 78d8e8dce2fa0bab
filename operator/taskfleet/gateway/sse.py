"""Server-sent events: what is told of a task, as it is told, to a client that may come back for the rest."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from taskfleet.core.cleanup import to_its_end
from taskfleet.core.errors import InputError, TaskfleetError
from taskfleet.core.events import TaskEvent
from taskfleet.gateway.answers import error_answer, error_body
from taskfleet.gateway.bodies import hung_up

QUIET_SECONDS = 15.0  # after which a comment says that we are still here: what is between us may close a silent line
_EVENT_ID = re.compile(r"[0-9]{1,10}-[0-9]{1,10}")


def message(data: Any, *, event: str = "", identity: str = "") -> bytes:
    """One event. ``data`` is JSON, or bytes as they are."""
    lines = [f"event: {event}\n".encode()] if event else []
    lines += [f"id: {identity}\n".encode()] if identity else []
    return b"".join((*lines, b"data: ", data if isinstance(data, bytes) else orjson.dumps(data), b"\n\n"))


def last_event_id(headers: Headers) -> str:
    """Behind which event a client goes on, "" for the beginning. Raises InputError."""
    found = headers.get("last-event-id", "")
    if found and not _EVENT_ID.fullmatch(found):
        raise InputError(f"Last-Event-ID: {found[:40]!r} is not the id of an event; send that of the last one you got")
    return found


async def heard(events: AsyncIterator[TaskEvent]) -> AsyncIterator[TaskEvent | None]:
    """The events; None while nothing is told for a while."""
    async with contextlib.aclosing(cast(AsyncGenerator[TaskEvent, None], events)) as reading:
        upcoming = asyncio.ensure_future(anext(reading, None))
        try:
            while True:
                done, _ = await asyncio.wait((upcoming,), timeout=QUIET_SECONDS)
                event = upcoming.result() if done else None
                if done and event is None:
                    return
                if done:
                    upcoming = asyncio.ensure_future(anext(reading, None))
                yield event
        finally:
            upcoming.cancel()
            await asyncio.wait((upcoming,))


class EventStream(Response):
    """An answer that goes on. ``on_gone`` is called when the client hangs up before its end."""

    media_type = "text/event-stream"

    def __init__(
        self, parts: AsyncIterator[bytes], headers: Mapping[str, str], on_gone: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(headers={**headers, "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._parts = parts
        self._on_gone = on_gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":  # the stream itself would keep the connection from the next request
            await self._begin(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        gone = asyncio.create_task(hung_up(receive))
        telling = asyncio.create_task(self._tell(scope, receive, send))
        try:
            await asyncio.wait((gone, telling), return_when=asyncio.FIRST_COMPLETED)
            left = not telling.done()
        finally:
            gone.cancel()
            telling.cancel()
            await asyncio.wait((gone, telling))
        if left:
            await to_its_end(self._say_that_it_is_gone())
        else:
            telling.result()

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _say_that_it_is_gone(self) -> None:
        await self._on_gone()

    async def _tell(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What goes wrong before there is anything to tell is an answer of its own."""
        started = False
        async with contextlib.aclosing(cast(AsyncGenerator[bytes, None], self._parts)) as parts:
            try:
                async for part in parts:
                    if not started:
                        await self._begin(send)
                        started = True
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            except TaskfleetError as error:
                if not started:
                    await error_answer(error)(scope, receive, send)
                    return
                await send({"type": "http.response.body", "body": message(error_body(error)), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
