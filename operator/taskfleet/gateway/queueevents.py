"""``/v1/queues/NAME/events``: what is new in a queue, as server-sent events, for as long as somebody listens."""

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response

from taskfleet.api.gatewaykeys import Right
from taskfleet.core.errors import InputError
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.followers import Follower, Kind, Told
from taskfleet.gateway.keyring import Doorman
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queues import OpenQueue
from taskfleet.gateway.sse import EventStream, message

BREATH_SECONDS = 0.01  # between two events: many ends are one
LOOK_SECONDS = 2.0  # between two looks whether the queue and the key are still there
QUIET_LOOKS = 7  # after which a comment says that we are still here


class QueueEvents:
    """Handler of ``/v1/queues/NAME/events``."""

    def __init__(self, parts: Parts, doorman: Doorman) -> None:
        self._queues = parts.queues
        self._news = parts.news
        self._doorman = doorman

    async def events(self, request: Request, caller: Caller) -> Response:
        """``?kinds=ended,progress,wake``: those, or all."""
        kinds = _kinds(request)
        queue = await self._queues.chosen(request.path_params["queue"], caller)

        def welcome() -> Caller:
            now = self._doorman.caller(request.headers)
            now.check(Right.READ)
            return now

        return EventStream(self._told(queue, caller, kinds, welcome), {"Taskfleet-Queue": str(queue.key)}, _nothing)

    async def _told(
        self, queue: OpenQueue, caller: Caller, kinds: frozenset[Kind], welcome: Callable[[], Caller]
    ) -> AsyncIterator[bytes]:
        with self._news.follow(queue.key, caller, kinds) as follower:
            yield message({"kinds": sorted(kinds)}, event="ready")
            quiet = 0
            while True:
                told = await _news(follower)
                if follower.ended:
                    return
                caller = welcome()
                if told is None:
                    await self._queues.chosen(str(queue.key), caller)  # NotFound, when it was deleted
                    quiet += 1
                    if quiet == QUIET_LOOKS:
                        quiet = 0
                        yield b": nothing new\n\n"
                    continue
                quiet = 0
                for part in _parts(told, kinds):
                    yield part
                await asyncio.sleep(BREATH_SECONDS)


async def _news(follower: Follower) -> Told | None:
    """None while there are none for a while."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await follower.news()
    except TimeoutError:
        return None


def _parts(told: Told, kinds: frozenset[Kind]) -> list[bytes]:
    parts = []
    if told.missed:
        parts.append(message({"kinds": sorted(kinds)}, event="ready"))
    if told.ended:
        parts.append(message({"ids": told.ended}, event=Kind.ENDED))
    if told.progress:
        tasks = {name: {"fraction": each.fraction, "message": each.message} for name, each in told.progress.items()}
        parts.append(message({"tasks": tasks}, event=Kind.PROGRESS))
    if told.wake:
        parts.append(message({}, event=Kind.WAKE))
    return parts


def _kinds(request: Request) -> frozenset[Kind]:
    words = request.query_params.get("kinds")
    if words is None:
        return frozenset(Kind)
    try:
        return frozenset(Kind(word) for word in words.split(","))
    except ValueError:
        raise InputError(f"kinds: {words[:60]!r} is not a list of {', '.join(Kind)}") from None


async def _nothing() -> None:
    """Whoever only listens leaves no trace."""
