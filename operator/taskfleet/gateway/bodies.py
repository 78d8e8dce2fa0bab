"""What a client sent, read within bounds of size and time, or refused in words."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.types import Receive

from taskfleet.core.errors import InputError
from taskfleet.gateway.answers import Refused
from taskfleet.gateway.jsonbounds import check_values

MAX_JSON_BYTES = 64 * 2**20  # as the largest task that a queue may take
MAX_HELD_BYTES = 96 * 2**20  # of all bodies together that are on their way into memory
BODY_SECONDS = 60.0


class Gone(Exception):
    """The client has hung up: there is nobody to answer."""


async def json_object(request: Request) -> dict[str, Any]:
    """The body, which must be a JSON object. Raises Refused, InputError, Gone."""
    found = await json_value(request)
    if not isinstance(found, dict):
        raise InputError("body: it must be a JSON object")
    return found


async def optional_object(request: Request) -> dict[str, Any]:
    """The body as ``json_object`` reads it; an empty object when there is none."""
    raw = await _whole(request)
    found = _parsed(raw) if raw.strip() else {}
    if not isinstance(found, dict):
        raise InputError("body: it must be a JSON object")
    return found


async def json_value(request: Request) -> Any:
    """The body, whatever JSON it is."""
    return _parsed(await _whole(request))


def known_fields(found: Mapping[str, Any], where: str, fields: tuple[str, ...]) -> None:
    """Raise InputError for a field that is none of ``fields``."""
    unknown = next((name for name in found if name not in fields), None)
    if unknown is not None:
        raise InputError(f"{where}{unknown}: unknown field; there are {', '.join(fields)}")


async def hung_up(receive: Receive) -> None:
    """Return when the client has gone; for when its body has been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def bounded(request: Request, limit: int, seconds: float) -> AsyncIterator[bytes]:
    """The parts of a body of at most ``limit`` bytes, which all come within ``seconds``."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise InputError(f"Content-Encoding: {encoding[:40]!r} is not taken here; send the body as it is")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    size, more = 0, True
    give_up_at = asyncio.get_running_loop().time() + seconds
    while more:
        try:
            async with asyncio.timeout_at(give_up_at):  # whoever reads us is not to be interrupted by it
                message = await request.receive()
        except TimeoutError:
            words = f"the body did not come whole within {seconds:g} s; send it again"
            raise Refused(408, "body_timeout", words, {"Connection": "close"}) from None
        if message["type"] == "http.disconnect":
            raise Gone
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        if part:
            yield part


class _Room:
    """What all bodies may take that are being read into memory."""

    def __init__(self) -> None:
        self._held = 0

    async def whole(self, request: Request) -> bytes:
        """Raises Refused (429) when others take so much that there is no room for this one."""
        parts: list[bytes] = []
        size = 0
        try:
            async for part in bounded(request, MAX_JSON_BYTES, BODY_SECONDS):
                parts.append(part)
                size += len(part)
                self._held += len(part)
                if self._held > MAX_HELD_BYTES and size > MAX_HELD_BYTES // 1000:  # small ones are let through
                    words = "so many large bodies are being sent just now that there is no room; send it again"
                    raise Refused(429, "no_room", words, {"Retry-After": "1"})
            return b"".join(parts)
        finally:
            self._held -= size


_room = _Room()


async def _whole(request: Request) -> bytes:
    return await _room.whole(request)


def _too_large(limit: int) -> Refused:
    words = f"the body is larger than {limit // 2**20} MiB, the most that is taken here; send it in parts"
    return Refused(413, "body_too_large", words)


def _parsed(raw: bytes) -> Any:
    check_values(raw)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        numbers = b"NaN" in raw or b"Infinity" in raw
        hint = "; NaN and Infinity are not JSON, write null or a number" if numbers else ""
        where = f"line {error.lineno} column {error.colno}"
        raise InputError(f"body: it is not JSON: {error.msg} at {where}{hint}") from None
