"""Those who make a gateway's own calls for one queue: a worker for each endpoint, in this process."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from taskfleet.api.endpoint import Endpoint
from taskfleet.core.cleanup import to_its_end
from taskfleet.core.errors import TaskfleetError
from taskfleet.core.fallbacks import model_for
from taskfleet.core.task import QueueKey
from taskfleet.gateway.directplace import DirectPlace
from taskfleet.gateway.offers import Offers
from taskfleet.gateway.queues import OpenQueue
from taskfleet.store import Store
from taskfleet.worker.service import Service
from taskfleet.worker.settings import WorkerSettings

log = logging.getLogger(__name__)

GRACE_SECONDS = 20.0  # for the calls of an endpoint that is no longer to be called
ApiKeys = Callable[[str, Endpoint], str | None]
"""The API key of a namespace's endpoint, None when it wants none. Raises KeyError when it is not known here."""


@dataclass(frozen=True, slots=True)
class Reachable:
    """An endpoint that may be called from here, in words that tell it from what it was before."""

    pool: str
    wire: str
    api_key: str | None = field(repr=False)


class Crew:
    """``offers``: what they may run. ``endpoints``: those that they can call, as of the last ``see``."""

    def __init__(self, store: Store, key: QueueKey, api_keys: ApiKeys) -> None:
        self.offers = Offers()
        self.endpoints: dict[Reachable, Endpoint] = {}
        self._store = store
        self._key = key
        self._api_keys = api_keys
        self._seen: OpenQueue | None = None
        self._told: set[str] = set()
        self._working: dict[Reachable, _Hand] = {}

    def see(self, queue: OpenQueue) -> None:
        """Learn how the queue is now."""
        if self._seen is queue:
            return
        known = self._seen
        self._seen = queue
        if known is None or known.policy.endpoints != queue.policy.endpoints or self._api_keys_missing:
            self.endpoints = dict(self._reachable(queue))

    def serves(self, queue: OpenQueue, model: str) -> bool:
        """Whether there is an endpoint here for the tasks of a model."""
        fallbacks = queue.policy.fallbacks
        return any(model_for(model, endpoint.models, fallbacks) for endpoint in self.endpoints.values())

    def staff(self) -> None:
        """Have a worker for each endpoint that can be called, and for no other."""
        for place in [place for place in self._working if place not in self.endpoints]:
            self._working.pop(place).stop()
        for place, endpoint in self.endpoints.items():
            if place not in self._working or self._working[place].running.done():
                self._working[place] = _Hand(self._settings(place, endpoint), DirectPlace(self._store, self.offers))

    async def dismiss(self, *, hurry: bool = False) -> None:
        """Let what runs end, for a while, or hand it back at once; then there is nobody."""
        hands = list(self._working.values())
        self._working.clear()
        for hand in hands:
            hand.stop(hurry=hurry)
        if hands:
            await to_its_end(_ended(hands))

    @property
    def registries(self) -> list[CollectorRegistry]:
        """What its workers count."""
        return [hand.service.registry for hand in self._working.values()]

    @property
    def _api_keys_missing(self) -> bool:
        return bool(self._told)

    def _reachable(self, queue: OpenQueue) -> Iterator[tuple[Reachable, Endpoint]]:
        told, self._told = self._told, set()
        for each in queue.policy.endpoints:
            try:
                endpoint = Endpoint.model_validate(each["endpoint"])
                yield (
                    Reachable(each["pool"], endpoint.model_dump_json(), self._api_keys(self._key.namespace, endpoint)),
                    endpoint,
                )
            except (KeyError, ValidationError) as error:
                name = f"{each.get('pool')}/{each['endpoint'].get('name')}"
                why = f"its API key is not here: {error.args[0]}" if isinstance(error, KeyError) else str(error)
                self._told.add(name)
                if name not in told:
                    log.warning("an endpoint is not called from here", extra={"endpoint": name, "why": why})

    def _settings(self, place: Reachable, endpoint: Endpoint) -> WorkerSettings:
        return WorkerSettings(
            store_url="",
            queue=self._key,
            pool=place.pool,
            endpoint=endpoint,
            worker=f"gateway-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
            port=None,
            grace_seconds=GRACE_SECONDS,
            api_key=place.api_key,
        )


class _Hand:
    """One worker in this process."""

    def __init__(self, settings: WorkerSettings, place: DirectPlace) -> None:
        async def connected() -> DirectPlace:
            return place

        self._stop, self._hurry = asyncio.Event(), asyncio.Event()
        self._name = f"{settings.pool}/{settings.endpoint.name}"
        self.service = Service(settings, self._stop, self._hurry, connect=connected)
        self.running = asyncio.create_task(self._run())

    def stop(self, *, hurry: bool = False) -> None:
        self._stop.set()
        if hurry:
            self._hurry.set()

    async def _run(self) -> None:
        try:
            await self.service.run()
        except TaskfleetError as error:
            log.warning("a worker of the gateway ended", extra={"endpoint": self._name, "error": str(error)})
        except Exception:
            log.exception("a worker of the gateway broke", extra={"endpoint": self._name})


async def _ended(hands: "list[_Hand]") -> None:
    await asyncio.wait([hand.running for hand in hands])
