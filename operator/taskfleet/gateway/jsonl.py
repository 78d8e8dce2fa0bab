"""A body of task lines (JSONL), of any number: on disk once it is large, and read from there line by line."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import IO, Any

import orjson
from starlette.requests import Request

from taskfleet.core.errors import InputError, InvalidTask
from taskfleet.core.task import NewTask
from taskfleet.gateway.answers import Refused
from taskfleet.gateway.bodies import MAX_JSON_BYTES, bounded
from taskfleet.gateway.jsonbounds import check_values

KINDS = ("application/x-ndjson", "application/jsonl")
MAX_BODY_BYTES = 4 * 2**30
BODY_SECONDS = 3600.0
_IN_MEMORY = 4 * 2**20


def is_jsonl(request: Request) -> bool:
    """Whether its body is lines, and not one JSON value."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() in KINDS


@asynccontextmanager
async def spooled(request: Request) -> AsyncIterator[IO[bytes]]:
    """The whole body, to be read from its beginning. Raises Refused, Gone."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as body:
        size = 0
        try:
            async for part in bounded(request, MAX_BODY_BYTES, BODY_SECONDS):
                size += len(part)
                if size > _IN_MEMORY:
                    await asyncio.to_thread(body.write, part)
                else:
                    body.write(part)
        except OSError as error:
            words = f"the body cannot be kept: {error.strerror}; send it in smaller parts, or make room at the gateway"
            raise Refused(507, "no_room", words) from error
        body.seek(0)
        yield body


class Lines:
    """The tasks of a body, made by ``task`` of the fields of each line that is not blank; ``count`` of them so far.
    Raises InputError that begins with the number of the line."""

    def __init__(self, body: IO[bytes], task: Callable[[dict[str, Any]], NewTask]) -> None:
        self.count = 0
        self._body = body
        self._task = task

    def __iter__(self) -> Iterator[NewTask]:
        number = 0
        while line := self._body.readline(MAX_JSON_BYTES + 1):
            number += 1
            if len(line) > MAX_JSON_BYTES:
                raise InvalidTask(f"line {number}: it is longer than {MAX_JSON_BYTES // 2**20} MiB; shorten the task")
            if line.isspace():
                continue
            try:
                task = self._task(_fields(line))
            except InputError as error:
                raise type(error)(f"line {number}: {error}") from None
            self.count += 1
            yield task
        if not self.count:
            raise InvalidTask("body: there is no task in it; write one JSON object on each line")


def _fields(line: bytes) -> dict[str, Any]:
    check_values(line)
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidTask(f"not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(fields, dict):
        raise InvalidTask('a task is a JSON object such as {"prompt": "Say hello"}')
    return fields
