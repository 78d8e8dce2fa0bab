"""Objects that are in the API server although today's schema would refuse them: said so in their own status."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from taskfleet.controller.cluster.cache import Object, ObjectCache, name_of
from taskfleet.controller.cluster.surface import RESOURCES
from taskfleet.controller.fleet import Kind
from taskfleet.core.conditions import Condition, Status, merge_conditions
from taskfleet.kube import KubeClient, KubeError

log = logging.getLogger(__name__)

_WHAT_NOW = "nothing is done for it, or its last valid version stays in force, until the spec is corrected"


class InvalidObjects:
    """Writes ``Ready=False, InvalidSpec`` on them, one at a time and once for each change."""

    def __init__(self, client: KubeClient, caches: dict[Kind, ObjectCache]) -> None:
        self._client = client
        self._caches = caches
        self._waiting: asyncio.Queue[tuple[Kind, Object, str]] = asyncio.Queue()

    def found(self, kind: Kind, obj: Object, problems: str) -> None:
        """Take note of one, from a watch event."""
        self._waiting.put_nowait((kind, obj, problems))

    async def report(self) -> None:
        """Write their status until cancelled."""
        while True:
            kind, obj, problems = await self._waiting.get()
            try:
                await self._write(kind, obj, problems)
            except KubeError as error:
                log.warning("status of an invalid object not written: %s", error, extra={"kind": kind})

    async def _write(self, kind: Kind, obj: Object, problems: str) -> None:
        meta = obj["metadata"]
        ready = Condition("Ready", Status.FALSE, "InvalidSpec", f"{problems}; {_WHAT_NOW}")
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        before: dict[str, Any] = obj.get("status", {})
        shown = before.get("conditions", [])
        merged = merge_conditions(shown, [ready], generation=meta.get("generation", 0), now=now)
        conditions = [*merged, *(condition for condition in shown if condition["type"] != "Ready")]
        if merged[0] in shown:
            return
        identity = {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]}
        manifest = {"metadata": identity, "status": {**before, "conditions": conditions}}
        log.warning("invalid object: %s", problems, extra={"kind": kind, "object": "/".join(name_of(obj))})
        self._caches[kind].saw(await self._client.apply(RESOURCES[kind], manifest, subresource="status"))
