"""``/v1/overview``: all queues of a caller as they are, and then what changes, for as long as somebody watches."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from taskfleet.api.gatewaykeys import Right
from taskfleet.core.errors import NotFound, StoreError, StoreSchemaMismatch
from taskfleet.core.explanation import Scene
from taskfleet.core.task import QueueKey
from taskfleet.core.wiretime import exact_wire_time
from taskfleet.gateway.answers import error_body
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.fresh import Fresh
from taskfleet.gateway.keyring import Doorman
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queueobjects import overview_object
from taskfleet.gateway.sse import EventStream, message

LOOK_SECONDS = 1.0  # between two looks
SHARE_OF_TIME = 0.2  # that looking may take: with very many queues there is more time between two looks
MOST_IN_ONE = 100  # queues in one event

Shown = dict[str, Any]


class Overview:
    """Handler of ``/v1/overview``. However many watch, a queue is looked at once."""

    def __init__(self, parts: Parts, doorman: Doorman) -> None:
        self._store = parts.store
        self._queues = parts.queues
        self._closing = parts.closing
        self._doorman = doorman
        self._seen = Fresh(self._look, LOOK_SECONDS / 2)

    async def events(self, request: Request, caller: Caller) -> Response:
        """``queues``: those that are new or changed, and the ids of those that are ``gone``. ``seen`` after each look:
        all that was not told of is as it was. ``trouble``: could not look, in words; what was told of is of before."""

        def welcome() -> Caller:
            now = self._doorman.caller(request.headers)
            now.check(Right.READ)
            return now

        return EventStream(self._told(welcome, caller), {}, _nothing)

    async def _told(self, welcome: Callable[[], Caller], caller: Caller) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        known: dict[str, Shown] = {}
        yield message({"look_seconds": LOOK_SECONDS}, event="ready")
        while not self._closing.is_set():
            began = loop.time()
            try:
                now = {str(key): shown for key, shown in (await self._all(caller)).items()}
            except StoreError as error:
                yield message(error_body(error)["error"], event="trouble")
            else:
                for part in _changes(known, now):
                    yield part
                known = now
                yield message({"now": exact_wire_time(time.time())}, event="seen")
            pause = max(LOOK_SECONDS, (loop.time() - began) / SHARE_OF_TIME)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._closing.wait()
            caller = welcome()

    async def _all(self, caller: Caller) -> dict[QueueKey, Shown]:
        found = {}
        for key in await self._queues.visible(caller):
            try:
                found[key] = await self._seen.get(key)
            except NotFound:  # it was deleted since it was listed
                continue
            except StoreSchemaMismatch as error:  # of another version: no reason to hide the others
                found[key] = {"id": str(key), "object": "queue", "trouble": str(error)}
        return found

    async def _look(self, key: QueueKey) -> Shown:
        queue = await self._queues.open(key)
        return overview_object(queue, Scene(queue.stats, queue.workers, await self._store.chronicle(key)))


def _changes(known: Mapping[str, Shown], now: Mapping[str, Shown]) -> Iterator[bytes]:
    news = [shown for name, shown in now.items() if known.get(name) != shown]
    gone = [name for name in known if name not in now]
    for first in range(0, len(news), MOST_IN_ONE):
        yield message({"data": news[first : first + MOST_IN_ONE], "gone": []}, event="queues")
    if gone:
        yield message({"data": [], "gone": gone}, event="queues")


async def _nothing() -> None:
    """Whoever only watches leaves no trace."""
