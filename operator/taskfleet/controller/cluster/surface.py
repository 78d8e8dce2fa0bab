"""Where people on a cluster see our objects: status, events, and the finalizer of what must not go unnoticed."""

import asyncio
import logging
import secrets
import socket
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from taskfleet.controller.cluster.cache import Object, ObjectCache
from taskfleet.controller.fleet import Guarded, Kind, Shown
from taskfleet.core.names import FINALIZER, GROUP
from taskfleet.kube import (
    EVENTS,
    PARALLEL_QUEUES,
    TASK_QUEUES,
    WORKER_POOLS,
    KubeClient,
    KubeConflict,
    KubeError,
    KubeNotFound,
    Resource,
)

log = logging.getLogger(__name__)

RESOURCES: dict[Kind, Resource] = {
    "TaskQueue": TASK_QUEUES,
    "WorkerPool": WORKER_POOLS,
    "ParallelQueue": PARALLEL_QUEUES,
}
_EVENT_BACKLOG = 1000
_MAX_NOTE = 1024
_CONTROLLER = f"{GROUP}/controller"


class KubernetesSurface:
    """The Surface of a cluster. ``caches`` hold the objects as the watch last saw them, valid or not."""

    def __init__(self, client: KubeClient, caches: dict[Kind, ObjectCache], invalid_uids: Collection[str]) -> None:
        self._client = client
        self._caches = caches
        self._invalid_uids = invalid_uids
        self._events: asyncio.Queue[Object] = asyncio.Queue(_EVENT_BACKLOG)
        self._instance = socket.gethostname()[:128]

    async def write_status(self, kind: Kind, obj: Shown, status: dict[str, Any]) -> None:
        """No request when the object already shows it, so that a status never answers to itself."""
        meta = obj.metadata
        live = self._caches[kind].get(meta.namespace, meta.name)
        if live is None or live["metadata"]["uid"] != meta.uid or live.get("status") == status:
            return
        if meta.uid in self._invalid_uids:
            return  # its status says what is wrong with the version that the API server holds
        # The uid makes a later object of the same name refuse what was meant for this one.
        identity = {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid}
        manifest = {"metadata": identity, "status": status}
        try:
            written = await self._client.apply(RESOURCES[kind], manifest, subresource="status")
        except (KubeNotFound, KubeConflict):
            log.debug(
                "gone before its status was written", extra={"kind": kind, "object": f"{meta.namespace}/{meta.name}"}
            )
            return
        self._caches[kind].saw(written)

    def event(self, kind: Kind, obj: Shown, reason: str, message: str, *, warning: bool) -> None:
        """Logged, for Kubernetes forgets events within the hour, and queued for ``post_events``.

        When too many wait, the newest are dropped and the log says so.
        """
        about = {"kind": kind, "object": f"{obj.metadata.namespace}/{obj.metadata.name}", "reason": reason}
        log.log(logging.WARNING if warning else logging.INFO, "%s", message, extra=about)
        try:
            self._events.put_nowait(self._manifest(kind, obj, reason, message, warning=warning))
        except asyncio.QueueFull:
            log.warning("event dropped: too many wait to be posted", extra={"reason": reason})

    async def post_events(self) -> None:
        """Post events until cancelled, one at a time. One that cannot be posted is logged and not tried again."""
        while True:
            manifest = await self._events.get()
            try:
                await self._client.create(EVENTS, manifest)
            except KubeError as error:
                log.warning("event not posted: %s", error, extra={"reason": manifest["reason"]})

    async def ensure_finalizer(self, obj: Guarded) -> None:
        """The test of the version makes two writers of finalizers not overwrite each other."""
        meta = obj.metadata
        live = self._caches[obj.kind].get(meta.namespace, meta.name)
        if live is None or live["metadata"]["uid"] != meta.uid or FINALIZER in live["metadata"].get("finalizers", ()):
            return
        finalizers = [*live["metadata"].get("finalizers", ()), FINALIZER]
        await self._patch_finalizers(obj.kind, live, finalizers)

    async def release(self, obj: Guarded) -> None:
        meta = obj.metadata
        live = self._caches[obj.kind].get(meta.namespace, meta.name)
        if live is None or live["metadata"]["uid"] != meta.uid:
            return
        finalizers = [name for name in live["metadata"].get("finalizers", ()) if name != FINALIZER]
        try:
            await self._patch_finalizers(obj.kind, live, finalizers)
        except KubeNotFound:
            log.debug("gone before it was released", extra={"object": f"{meta.namespace}/{meta.name}"})

    async def _patch_finalizers(self, kind: Kind, live: Object, finalizers: list[str]) -> None:
        meta = live["metadata"]
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": meta["uid"]},
            {"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
            {"op": "add", "path": "/metadata/finalizers", "value": finalizers},
        ]
        written = await self._client.json_patch(RESOURCES[kind], meta["namespace"], meta["name"], operations)
        self._caches[kind].saw(written)

    def _manifest(self, kind: Kind, obj: Shown, reason: str, message: str, *, warning: bool) -> Object:
        meta = obj.metadata
        resource = RESOURCES[kind]
        return {
            "metadata": {"name": f"{meta.name[:200]}.{secrets.token_hex(8)}", "namespace": meta.namespace},
            "eventTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "reportingController": _CONTROLLER,
            "reportingInstance": self._instance,
            "action": reason,
            "reason": reason,
            "type": "Warning" if warning else "Normal",
            "note": message[:_MAX_NOTE],
            "regarding": {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "name": meta.name,
                "namespace": meta.namespace,
                "uid": meta.uid,
            },
        }
