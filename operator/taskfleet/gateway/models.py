"""``/v1/models``: what may be asked for by name in the caller's queue, with every alias and tag."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from taskfleet.core.errors import UnknownModel
from taskfleet.gateway.answers import json_answer
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queues import OpenQueue
from taskfleet.gateway.wishes import HEADERS


class Models:
    """Handlers of ``/v1/models``."""

    def __init__(self, parts: Parts) -> None:
        self._queues = parts.queues

    async def listing(self, request: Request, caller: Caller) -> Response:
        return json_answer({"object": "list", "data": list((await self._offered(request, caller)).values())})

    async def show(self, request: Request, caller: Caller) -> Response:
        name = request.path_params["model"]
        offered = await self._offered(request, caller)
        if name not in offered:
            raise UnknownModel(f"model: {name[:128]!r} is not offered by this queue; it offers: {', '.join(offered)}")
        return json_answer(offered[name])

    async def _offered(self, request: Request, caller: Caller) -> dict[str, dict[str, Any]]:
        return _by_name(await self._queues.chosen(request.headers.get(HEADERS["queue"]), caller))


def _by_name(queue: OpenQueue) -> dict[str, dict[str, Any]]:
    """The models of a queue, first by their names, then by aliases and tags, as a request may ask for them."""
    found: dict[str, dict[str, Any]] = {}
    there = queue.spec.models
    names = [(model, model.name) for model in there]
    names += [(model, alias) for model in there for alias in model.aliases]
    names += [(model, tag) for model in there for tag in model.tags]
    for model, name in names:
        ours = {"queue": str(queue.key), "name": model.name, "aliases": model.aliases, "tags": model.tags}
        if model.description:
            ours["description"] = model.description
        entry = {"id": name, "object": "model", "created": 0, "owned_by": "taskfleet", "taskfleet": ours}
        found.setdefault(name, entry)
    return found
