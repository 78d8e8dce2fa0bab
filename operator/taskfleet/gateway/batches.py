"""``/v1/batches``: files of requests, run through the queue."""

import re
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from taskfleet.api import taskfields
from taskfleet.core.errors import AlreadyEnded, InputError, NotFound
from taskfleet.core.quantities import parse_duration
from taskfleet.core.task import Priority, QueueKey
from taskfleet.gateway.answers import json_answer
from taskfleet.gateway.batchlines import ENDPOINTS
from taskfleet.gateway.batchrun import BatchRunner
from taskfleet.gateway.bodies import json_object, known_fields
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.files import known_file
from taskfleet.gateway.filestorage import FileStorage
from taskfleet.gateway.ids import PATTERN, new_id
from taskfleet.gateway.paging import listed, page_wanted
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.runningbatch import FINAL
from taskfleet.gateway.uploads import PURPOSE
from taskfleet.gateway.wishes import HEADERS, read_wishes

MOST_LISTED = 100
_FIELDS = ("input_file_id", "endpoint", "completion_window", "metadata")
_LONGEST_WINDOW = 30 * 24 * 3600.0
_MOST_METADATA, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512
_ID = re.compile(f"batch_{PATTERN}")
_TIMES = (
    *("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at"),
    "cancelled_at",
)


class Batches:
    """Handlers of ``/v1/batches``."""

    def __init__(self, parts: Parts, files: FileStorage, runner: BatchRunner) -> None:
        self._jobs = parts.store.jobs
        self._queues = parts.queues
        self._files = files
        self._runner = runner

    async def create(self, request: Request, caller: Caller) -> Response:
        body = await json_object(request)
        wishes = read_wishes(request.headers, body)
        known_fields(body, "", _FIELDS)
        unused = next(iter(wishes.task), None)
        if unused is not None:
            raise InputError(f"{HEADERS.get(unused, unused)}: it is not for a batch, but for one task; leave it out")
        endpoint, window = body.get("endpoint"), _window(body.get("completion_window"))
        if not isinstance(endpoint, str) or endpoint not in ENDPOINTS:
            raise InputError(f"endpoint: {taskfields.shown(endpoint)} is none of {', '.join(ENDPOINTS)}")
        metadata = _metadata(body.get("metadata"))
        file = await known_file(self._files, body.get("input_file_id"), caller, "input_file_id")
        if file.purpose != PURPOSE:
            raise InputError(f"input_file_id: the file {file.id} was not uploaded with the purpose {PURPOSE}")
        queue = await self._queues.chosen(wishes.queue, caller)
        now = round(time.time())
        document = {
            "id": f"batch_{new_id()}",
            "tenant": caller.tenant_for(wishes.tenant),
            "priority": caller.priority_for(wishes.priority, Priority.LOW).label,
            "endpoint": endpoint,
            "input_file_id": file.id,
            "completion_window": body["completion_window"],
            "status": "validating",
            "created_at": now,
            "expires_at": now + round(window),
            "metadata": metadata,
        }
        await self._jobs.create(queue.key, document["id"], document)
        self._runner.look()
        return json_answer(_shown(queue.key, document))

    async def show(self, request: Request, caller: Caller) -> Response:
        return json_answer(_shown(*await self._asked_for(request, caller)))

    async def listing(self, request: Request, caller: Caller) -> Response:
        wanted = page_wanted(request, most=MOST_LISTED, usual=20)
        if wanted.after is not None and not _ID.fullmatch(wanted.after):
            raise InputError(f"after: {wanted.after[:128]!r} is not the id of a batch")
        name = request.headers.get(HEADERS["queue"])
        named = None if name is None else await self._queues.chosen(name, caller)
        found: list[dict[str, Any]] = []
        for queue in await self._queues.visible(caller) if named is None else [named.key]:
            found += await self._newest(queue, wanted.after, wanted.limit + 1, caller)
        found.sort(key=lambda batch: str(batch["id"]), reverse=True)
        return json_answer(listed(found[: wanted.limit], has_more=len(found) > wanted.limit))

    async def cancel(self, request: Request, caller: Caller) -> Response:
        queue, document = await self._asked_for(request, caller)
        if document["status"] in FINAL:
            raise AlreadyEnded(f"batch {document['id']} is {document['status']} already; it stays as it is")
        document.setdefault("cancelling_at", round(time.time()))
        await self._jobs.update(queue, document["id"], {"cancelling_at": document["cancelling_at"]})
        self._runner.look()
        return json_answer(_shown(queue, document))

    async def _newest(self, queue: QueueKey, before: str | None, count: int, caller: Caller) -> list[dict[str, Any]]:
        """Up to ``count`` of a queue that the caller sees, read in bounded steps."""
        found: list[dict[str, Any]] = []
        while len(found) < count and (ids := await self._jobs.before(queue, before, MOST_LISTED)):
            before = ids[-1]
            for batch_id in ids:
                document = await self._jobs.get(queue, batch_id)
                if document is None:
                    await self._jobs.forget(queue, batch_id)
                elif caller.sees(document["tenant"]):
                    found.append(_shown(queue, document))
        return found[:count]

    async def _asked_for(self, request: Request, caller: Caller) -> tuple[QueueKey, dict[str, Any]]:
        batch_id = request.path_params["id"]
        for queue in await self._queues.visible(caller) if _ID.fullmatch(batch_id) else ():
            document = await self._jobs.get(queue, batch_id)
            if document is not None and caller.sees(document["tenant"]):
                return queue, document
        raise NotFound(f"there is no batch {batch_id[:128]!r} here; they are kept for 30 days")


def _window(text: Any) -> float:
    try:
        seconds = parse_duration(text if isinstance(text, str) else "")
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= _LONGEST_WINDOW:
        raise InputError(f"completion_window: {taskfields.shown(text)} is not a duration from 1s to 720h, such as 24h")
    return seconds


def _metadata(found: Any) -> dict[str, str] | None:
    if found is None:
        return None
    if not isinstance(found, dict) or len(found) > _MOST_METADATA:
        raise InputError(f"metadata: it must be an object of at most {_MOST_METADATA} texts")
    for name, value in found.items():
        if len(name) > _LONGEST_KEY or not isinstance(value, str) or len(value) > _LONGEST_VALUE:
            words = f"a name has at most {_LONGEST_KEY} characters, a value is a text of at most {_LONGEST_VALUE}"
            raise InputError(f"metadata.{name[:_LONGEST_KEY]}: {words}")
    return found


def _shown(queue: QueueKey, document: Mapping[str, Any]) -> dict[str, Any]:
    """A batch as OpenAI shows it. Who drives it writes the status, who cancels it only that it is to be."""
    status = document["status"]
    if document.get("cancelling_at") and status in ("validating", "in_progress"):
        status = "cancelling"
    return {
        "id": document["id"],
        "object": "batch",
        "endpoint": document["endpoint"],
        "errors": document.get("errors"),
        "input_file_id": document["input_file_id"],
        "completion_window": document["completion_window"],
        "status": status,
        "output_file_id": document.get("output_file_id"),
        "error_file_id": document.get("error_file_id"),
        "created_at": document["created_at"],
        "expires_at": document["expires_at"],
        **{name: document.get(name) for name in _TIMES},
        "request_counts": {name: document.get(name, 0) for name in ("total", "completed", "failed")},
        "metadata": document["metadata"],
        "taskfleet": {"queue": str(queue), "priority": document["priority"]},
    }
