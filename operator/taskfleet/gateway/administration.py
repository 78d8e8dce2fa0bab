"""``/v1/queues``: what is in them, and pausing, resuming, purging and redriving."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from taskfleet.core.errors import InputError, NotFound, StoreSchemaMismatch
from taskfleet.core.quantities import parse_duration
from taskfleet.core.task import is_task_id
from taskfleet.core.wiretime import moment_of, wire_time
from taskfleet.gateway.answers import json_answer
from taskfleet.gateway.bodies import known_fields, optional_object
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.failures import error_code
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queueobjects import numbers, queue_object
from taskfleet.gateway.queues import OpenQueue

_WHICH = ("ids", "error_code", "all")  # dead letters
_LONGEST_PAUSE = 8760 * 3600.0
_NOT_SHOWN = ("tenants", "storeRef")  # of other tenants, and of the cluster


class Administration:
    """Handlers of ``/v1/queues``."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._queues = parts.queues

    async def listing(self, _request: Request, caller: Caller) -> Response:
        found = []
        for key in await self._queues.visible(caller):
            try:
                found.append(queue_object(await self._queues.open(key)))
            except NotFound:  # it was deleted since it was listed
                continue
            except StoreSchemaMismatch as error:  # of another version: no reason to hide the others
                found.append({"id": str(key), "object": "queue", "trouble": str(error)})
        return json_answer({"object": "list", "data": found})

    async def show(self, request: Request, caller: Caller) -> Response:
        """One queue, with its rules."""
        queue = await self._asked_for(request, caller)
        spec = {name: value for name, value in queue.policy.spec.items() if name not in _NOT_SHOWN}
        rules = {"spec": spec, "fallbacks": dict(queue.policy.fallbacks), "max_pending": queue.policy.max_pending}
        return json_answer(queue_object(queue) | rules)

    async def stats(self, request: Request, caller: Caller) -> Response:
        queue = await self._asked_for(request, caller)
        stats = await self._store.stats(queue.key)
        if stats is None:
            raise NotFound(f"queue: {queue.key} is no longer in this store")
        return json_answer({"object": "queue.stats", "queue": str(queue.key), **numbers(stats)})

    async def pause(self, request: Request, caller: Caller) -> Response:
        """``{"until"? | "for"?}``: a moment, or a duration such as 30m; without either until it is resumed."""
        queue = await self._asked_for(request, caller)
        body = await optional_object(request)
        known_fields(body, "", ("until", "for"))
        if "until" in body and "for" in body:
            raise InputError("until: both until and for are given; give one of the two")
        seconds = _seconds(body["for"]) if "for" in body else None
        until = _moment(body["until"]) if "until" in body else None
        end = await self._store.pause(queue.key, until=until, seconds=seconds)
        shown = {"object": "queue", "id": str(queue.key), "paused": True}
        return json_answer(shown | {"paused_until": None if end is None else wire_time(end)})

    async def resume(self, request: Request, caller: Caller) -> Response:
        queue = await self._asked_for(request, caller)
        was_paused = await self._store.resume(queue.key)
        return json_answer({"object": "queue", "id": str(queue.key), "paused": False, "was_paused": was_paused})

    async def purge(self, request: Request, caller: Caller) -> Response:
        """Remove dead letters for good: ``{"ids": [...]}``, those of ``{"error_code": CODE}``, or ``{"all": true}``."""
        queue, ids = await self._letters(request, caller)
        words = await self._store.purge(queue.key, ids)
        return json_answer(_outcome(queue, words, "purged"))

    async def redrive(self, request: Request, caller: Caller) -> Response:
        """Bring dead letters back as if submitted now: ``{"ids": [...]}``, those of ``{"error_code": CODE}``, or
        ``{"all": true}``."""
        queue, ids = await self._letters(request, caller)
        words = await self._store.redrive(queue.key, ids)
        return json_answer(_outcome(queue, words, "redriven"))

    async def _letters(self, request: Request, caller: Caller) -> tuple[OpenQueue, Sequence[str]]:
        queue = await self._asked_for(request, caller)
        body = await optional_object(request)
        known_fields(body, "", _WHICH)
        given = [name for name in _WHICH if body.get(name) not in (None, False)]
        if len(given) > 1:
            raise InputError(f"{given[0]}: {' and '.join(given)} are given; give one of {', '.join(_WHICH)}")
        ids, code, everything = (body.get(name) for name in _WHICH)
        if everything is True:
            return queue, [letter.task.id async for letter in self._store.dead_letters(queue.key)]
        if isinstance(code, str) and code:
            letters = self._store.dead_letters(queue.key)
            return queue, [letter.task.id async for letter in letters if error_code(letter.task) == code]
        if everything:
            raise InputError('all: it must be true; or give {"ids": [...]} or {"error_code": CODE}')
        if code is not None:
            raise InputError("error_code: it must be the code of an error, such as timeout")
        if not isinstance(ids, list) or not all(isinstance(each, str) and is_task_id(each) for each in ids):
            raise InputError('ids: it must be an array of ids of failed tasks; {"all": true} means all of them')
        return queue, ids

    async def _asked_for(self, request: Request, caller: Caller) -> OpenQueue:
        return await self._queues.chosen(request.path_params["queue"], caller)


def _outcome(queue: OpenQueue, words: dict[str, str], done: str) -> dict[str, Any]:
    others = {task_id: word for task_id, word in words.items() if word != done}
    return {"object": "queue", "id": str(queue.key), done: len(words) - len(others), "others": others}


def _seconds(text: Any) -> float:
    try:
        seconds = parse_duration(text if isinstance(text, str) else "")
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_PAUSE:
        raise InputError("for: it must be a duration of at most a year, such as 30m or 1h30m")
    return seconds


def _moment(text: Any) -> float:
    try:
        return moment_of(text)
    except ValueError as error:
        raise InputError(f"until: {error}") from None
