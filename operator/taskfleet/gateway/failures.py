"""``/v1/queues/NAME/failures``: of what the failed tasks of a queue failed, counted by error."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from taskfleet.core.settlement import DeadLetter
from taskfleet.core.task import QueueKey, TaskView
from taskfleet.core.wiretime import wire_time
from taskfleet.gateway.answers import json_answer
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.fresh import Fresh
from taskfleet.gateway.parts import Parts

MOST_COUNTED = 10_000
FRESH_SECONDS = 2.0  # many may look, and a look reads all of these


def error_code(task: TaskView) -> str:
    """Of what it failed, as one word."""
    return task.error.code if task.error else "unknown"


class Failures:
    """Handler of ``/v1/queues/NAME/failures``."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._queues = parts.queues
        self._counted = Fresh(self._count, FRESH_SECONDS)

    async def by_error(self, request: Request, caller: Caller) -> Response:
        """The most frequent error first, with what was said the last time. Of more failures than ``MOST_COUNTED`` the
        oldest are counted, and ``has_more`` says so."""
        queue = await self._queues.chosen(request.path_params["queue"], caller)
        data, more = await self._counted.get((queue.key, None if caller.sees_all else caller.tenant))
        return json_answer({"object": "list", "queue": str(queue.key), "data": data, "has_more": more})

    async def _count(self, whose: tuple[QueueKey, str | None]) -> tuple[list[dict[str, Any]], bool]:
        """``whose``: of a tenant, or of all."""
        queue, tenant = whose
        found: dict[str, list[DeadLetter]] = {}
        counts: dict[str, int] = {}
        seen, more = 0, False
        async for letter in self._store.dead_letters(queue):
            seen += 1
            if seen > MOST_COUNTED:
                more = True
                break
            if tenant in (None, letter.task.tenant):
                code = error_code(letter.task)
                counts[code] = counts.get(code, 0) + 1
                found[code] = [*found.get(code, [])[:1], letter]
        rows = [_row(code, counts[code], letters[0], letters[-1]) for code, letters in found.items()]
        return sorted(rows, key=lambda row: (-row["count"], row["error_code"])), more


def _row(code: str, count: int, first: DeadLetter, last: DeadLetter) -> dict[str, Any]:
    return {
        "error_code": code,
        "count": count,
        "message": last.task.error.message if last.task.error else None,
        "first_failed_at": wire_time(first.failed_at),
        "last_failed_at": wire_time(last.failed_at),
    }
