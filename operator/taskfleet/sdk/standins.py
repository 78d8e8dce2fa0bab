"""Which model stands in for another while none of its servers works: decided here for a queue in this process, as its
controller decides it for a queue elsewhere."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from taskfleet.api.endpoint import Endpoint
from taskfleet.core.fallbacks import Fallbacks, decide_fallbacks, rerouted
from taskfleet.core.pool import EndpointObserved
from taskfleet.core.verdict import OTHERS_FIRST_SECONDS

Publish = Callable[[Mapping[str, str]], Awaitable[None]]
"""Has the workers follow these stand-ins. Raises StoreError."""

TRIED_AGAIN_AFTER = OTHERS_FIRST_SECONDS + 1.0
"""Seconds from the end of a breaker's pause: in that time whoever stands in takes the task that tried the server last,
which waits only a moment longer than the pause. So no task tries it twice."""


class StandIns:
    """``fallbacks``: which models may stand in for which. A server is well as long as its worker's breaker is closed,
    and while it only asked to wait."""

    def __init__(self, endpoints: Sequence[Endpoint], fallbacks: Fallbacks, publish: Publish) -> None:
        self._models = {endpoint.name: endpoint.models for endpoint in endpoints}
        self._fallbacks = fallbacks
        self._publish = publish
        self._serving: dict[str, str] = {}
        self._unknown_since: dict[str, float] = {}

    async def decide(self, seen: Mapping[str, EndpointObserved]) -> None:
        """Look at the servers, and publish what changes. Raises StoreError; then the next look decides again."""
        health: dict[str, list[bool | None]] = {}
        for name, models in self._models.items():
            for model in models:
                health.setdefault(model, []).append(True if seen[name].waits else seen[name].healthy)
        serving = decide_fallbacks(self._fallbacks, health, self._serving)
        if serving != self._serving:
            await self._publish(serving)
            self._serving = serving

    def wanted(self, backlog: Mapping[str, int], seen: Mapping[str, EndpointObserved], now: float) -> dict[str, int]:
        """What waits, by the model that serves it; and one task for a model whose own server is to be tried again."""
        wanted = rerouted(backlog, self._serving)
        for name, models in self._models.items():
            if seen[name].healthy is not None:
                self._unknown_since.pop(name, None)
            elif now - self._unknown_since.setdefault(name, now) >= TRIED_AGAIN_AFTER:
                wanted |= {model: 1 for model in models if model in self._serving and backlog.get(model)}
        return wanted
