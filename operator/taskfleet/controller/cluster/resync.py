"""Whole lists beside the watch: at the start, after a watch had to begin anew, and now and then.

A watch that begins anew (the API server has forgotten where it was) shows what is there and not what went meanwhile:
only a list tells. The list now and then costs six requests and means that no missed event is missed for ever.
"""

import asyncio
import logging
from collections.abc import Sequence

from taskfleet.controller.cluster.cache import uid_of
from taskfleet.controller.cluster.feed import AUTOSCALER, DEPLOYMENT, SERVICE, Feed
from taskfleet.core.names import LABEL_NAME
from taskfleet.kube import (
    AUTOSCALERS,
    DEPLOYMENTS,
    PARALLEL_QUEUES,
    SERVICES,
    TASK_QUEUES,
    WORKER_POOLS,
    KubeClient,
    KubeError,
    KubeNotFound,
    Resource,
)

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 300.0
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 10.0

WORKER_SELECTOR = f"{LABEL_NAME}=taskfleet-worker"

# Pools late: one that is seen must find its workers, Services and autoscalers already seen.
_LISTED: tuple[tuple[str, Resource, str], ...] = (
    (DEPLOYMENT, DEPLOYMENTS, WORKER_SELECTOR),
    (SERVICE, SERVICES, ""),
    (AUTOSCALER, AUTOSCALERS, ""),
    ("TaskQueue", TASK_QUEUES, ""),
    ("WorkerPool", WORKER_POOLS, ""),
    ("ParallelQueue", PARALLEL_QUEUES, ""),
)


class Resync:
    """``trouble`` is why the last list failed, in words, or "" when it worked."""

    def __init__(self, client: KubeClient, feed: Feed, namespaces: Sequence[str]) -> None:
        self._client = client
        self._feed = feed
        self._namespaces: list[str | None] = list(namespaces) or [None]
        self._wanted = asyncio.Event()
        self.trouble = "nothing was listed yet"

    def request(self) -> None:
        """List again soon."""
        self._wanted.set()

    async def run(self) -> None:
        """List when asked to and now and then, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            await self.until_it_works()

    async def until_it_works(self) -> None:
        """List once; while that fails, say why (once for each reason) and try again."""
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                await self._list_all()
            except KubeError as error:
                self._say(error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, LAST_RETRY_SECONDS)
            else:
                self.trouble = ""
                return

    async def _list_all(self) -> None:
        for kind, resource, labels in _LISTED:
            known_before, uids = self._feed.known(kind), set[str]()
            for namespace in self._namespaces:
                async for page in self._client.pages(resource, namespace, labels=labels):
                    for obj in page:
                        self._feed.event(kind, None, obj)
                        uids.add(uid_of(obj))
            self._feed.listed(kind, known_before, uids)

    def _say(self, error: KubeError) -> None:
        trouble = str(error)
        if isinstance(error, KubeNotFound):
            trouble = f"{trouble}: are the custom resources installed? (kubectl apply -f crds/)"
        if trouble != self.trouble:
            log.warning("cannot list: %s", trouble)
        self.trouble = trouble
