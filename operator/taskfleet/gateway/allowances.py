"""How many calls an API key has in a minute: counted in the store, so that several gateways give no more than one."""

import math
from collections.abc import Mapping

from taskfleet.core.ratelimit import RateLimits
from taskfleet.gateway.answers import Refused
from taskfleet.gateway.callers import Caller
from taskfleet.store import Store


class Allowances:
    """Of all keys."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, caller: Caller) -> Mapping[str, str]:
        """Count a call; what is left, in OpenAI's headers. Raises Refused (429), StoreError."""
        most = caller.requests_per_minute
        if most is None:
            return {}
        counted = await self._store.reserve_call(caller.identity, RateLimits(requests=most))
        headers = {
            "x-ratelimit-limit-requests": str(most),
            "x-ratelimit-remaining-requests": str(max(0, most - counted.requests)),
        }
        if not counted.granted:
            seconds = max(1, math.ceil(counted.wait))
            words = f"the API key {caller.name!r} has {most} requests a minute, and they are used up"
            headers["Retry-After"] = str(seconds)
            raise Refused(429, "rate_limit_exceeded", f"{words}; come back in {seconds} s", headers)
        return headers
