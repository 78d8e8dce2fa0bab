"""``/v1/key``: who a key is and what it may do, so that a program need not try."""

from starlette.requests import Request
from starlette.responses import Response

from taskfleet.gateway.answers import json_answer
from taskfleet.gateway.callers import ANYONE, Caller


async def own_key(_request: Request, caller: Caller) -> Response:
    """``required``: whether this gateway asks for keys. ``tenant`` and ``queues`` null: any."""
    return json_answer(
        {
            "object": "key",
            "name": caller.name,
            "required": caller is not ANYONE,
            "tenant": caller.tenant,
            "sees_all_tenants": caller.sees_all,
            "rights": sorted(caller.rights),
            "queues": None if caller.queues is None else sorted(map(str, caller.queues)),
            "max_priority": caller.ceiling.label,
        }
    )
