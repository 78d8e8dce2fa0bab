"""Reserving calls of an endpoint: what ``limit.lua`` takes and says."""

from collections.abc import Iterable, Sequence

from taskfleet.core.ratelimit import START_WITHIN_SECONDS, Lacking, RateLimits, Reservation, Returned
from taskfleet.core.task import QueueKey
from taskfleet.store import lua
from taskfleet.store.connection import Connection

_COUNTED_MS = round((60 + START_WITHIN_SECONDS) * 1000)


async def reserve(
    connection: Connection,
    queue: QueueKey,
    endpoint: str,
    limits: RateLimits,
    wanted: Sequence[int],
    returned: Iterable[Returned],
) -> Reservation:
    back = [number for change in returned for number in (change.at, change.requests, change.tokens)]
    granted, at, wait, lacking, requests, tokens = await connection.run(
        lua.LIMIT,
        queue,
        endpoint,
        _COUNTED_MS,
        limits.requests or 0,
        limits.tokens or 0,
        len(back) // 3,
        *back,
        len(wanted),
        *(wanted if limits.tokens else ()),
    )
    return Reservation(granted, at, wait / 1000, Lacking(lacking.decode()), requests, tokens)
