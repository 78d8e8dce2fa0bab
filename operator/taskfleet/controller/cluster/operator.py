"""The controller on a cluster, put together: the shared Reconciler between the watch and the API server.

Start: log in, lead (at once, or when the Lease that several controllers share is ours), list everything (waiting for an
API server or for custom resources that are not there yet), then watch and reconcile. Stop: no more watching, no more
decisions; the workers go on without us.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from taskfleet.controller.cluster import keeping
from taskfleet.controller.cluster.cache import Object, ObjectCache
from taskfleet.controller.cluster.feed import Feed
from taskfleet.controller.cluster.fleet import Environment, KubernetesFleet
from taskfleet.controller.cluster.invalid import InvalidObjects
from taskfleet.controller.cluster.leadership import Leadership
from taskfleet.controller.cluster.lease import Lease
from taskfleet.controller.cluster.objects import WorkerDefaults
from taskfleet.controller.cluster.parallelthread import ParallelThread
from taskfleet.controller.cluster.resync import Resync
from taskfleet.controller.cluster.surface import KubernetesSurface
from taskfleet.controller.cluster.urls import url_from_elsewhere
from taskfleet.controller.cluster.watch import Watch
from taskfleet.controller.fleet import Kind
from taskfleet.controller.reconciler import Reconciler
from taskfleet.core.leadership import Timing
from taskfleet.kube import KubeClient
from taskfleet.telemetry.controllermetrics import ControllerMetrics
from taskfleet.telemetry.leadermetrics import LeaderMetrics
from taskfleet.telemetry.server import status_server


@dataclass(frozen=True, slots=True)
class ControllerOptions:
    """``namespaces``: only these, none: the whole cluster. ``worker_environment`` is that of the worker package.
    ``lease``: namespace and name of the Lease that decides which of several controllers acts; None: this one does."""

    kubeconfig: str | None
    namespaces: Sequence[str]
    store_url: str
    workers: WorkerDefaults
    worker_environment: Environment
    port: int
    lease: tuple[str, str] | None = None


async def run_controller(options: ControllerOptions, stop: asyncio.Event, serving: Callable[[int], None]) -> None:
    """Run until ``stop``. ``serving`` is told the port of /healthz, /readyz and /metrics.

    Raises KubeLoginFailed when there is no login, InputError when the port is taken; what may pass is waited for.
    """
    registry = CollectorRegistry()
    async with KubeClient.open(options.kubeconfig) as client:
        leadership = Leadership(Lease(client, *options.lease), Timing()) if options.lease else None
        actor = _Actor(options, stop, LeaderMetrics(registry), leadership)
        served = status_server(registry=registry, ready=actor.trouble, port=options.port, setting="--port")
        async with served as port:
            serving(port)
            if leadership is None:
                await actor.act(may_act=lambda: None)
            else:
                await leadership.run(stop, actor.act)


class _Actor:
    """Everything that only the one that leads does, made anew for each time of leading."""

    def __init__(
        self, options: ControllerOptions, stop: asyncio.Event, metrics: LeaderMetrics, leadership: Leadership | None
    ) -> None:
        self._options = options
        self._stop = stop
        self._metrics = metrics
        self._leadership = leadership
        self._controller: _Controller | None = None

    def trouble(self) -> str:
        """Why this controller can neither act nor stand by, in words; "" when it can."""
        standing_by = self._leadership.trouble if self._leadership else ""
        return self._controller.trouble() if self._controller else standing_by

    async def act(self, may_act: Callable[[], None]) -> None:
        """Until stopped. Nothing is changed anywhere after ``may_act`` raised."""
        registry = CollectorRegistry()
        async with KubeClient.open(self._options.kubeconfig, may_act) as client:
            self._controller = _Controller(self._options, client, ControllerMetrics(registry), may_act)
            self._metrics.show(registry)
            try:
                await self._controller.run(self._stop)
            finally:
                self._metrics.show(None)
                self._controller = None


class _Controller:
    def __init__(
        self,
        options: ControllerOptions,
        client: KubeClient,
        metrics: ControllerMetrics,
        may_act: Callable[[], None],
    ) -> None:
        caches: dict[Kind, ObjectCache] = {
            "TaskQueue": ObjectCache(keeping.of_custom_resource),
            "WorkerPool": ObjectCache(keeping.of_custom_resource),
            "ParallelQueue": ObjectCache(keeping.of_custom_resource),
        }
        deployments, services = ObjectCache(keeping.of_deployment), ObjectCache(keeping.of_service)
        autoscalers = ObjectCache(keeping.of_autoscaler)
        invalid_uids: set[str] = set()
        self._surface = KubernetesSurface(client, caches, invalid_uids)
        self._invalid = InvalidObjects(client, caches)
        self._reconciler = Reconciler(
            store_url=options.store_url,
            fleet=KubernetesFleet(client, deployments, autoscalers, options.workers, options.worker_environment),
            surface=self._surface,
            metrics=metrics,
            reach=url_from_elsewhere,
            may_act=may_act,
        )
        self._parallel = ParallelThread(
            options.store_url,
            client,
            self._reconciler.chronicler,
            lambda outcome: metrics.reconciles.labels("ParallelQueue", outcome).inc(),
            may_act,
        )
        self._feed = Feed(
            self._reconciler,
            self._parallel,
            caches,
            deployments,
            services,
            autoscalers,
            self._invalid.found,
            invalid_uids,
        )
        self._resync = Resync(client, self._feed, options.namespaces)
        self._watch = Watch(options.kubeconfig, options.namespaces, self._on_event)

    def trouble(self) -> str:
        """Why the controller cannot work, in words; "" when it can."""
        return self._resync.trouble or self._watch.trouble

    async def run(self, stop: asyncio.Event) -> None:
        if not await _unless(stop, self._resync.until_it_works()):
            return
        self._watch.start()
        self._parallel.start()
        try:
            async with asyncio.TaskGroup() as group:
                background = [
                    group.create_task(self._surface.post_events()),
                    group.create_task(self._invalid.report()),
                    group.create_task(self._resync.run()),
                ]
                await self._reconciler.run(stop)
                for task in background:
                    task.cancel()
        finally:
            await self._parallel.stop()
            await self._watch.stop()

    def _on_event(self, kind: str, event_type: str | None, obj: Object) -> None:
        if event_type is None:
            # From kopf's own list: at the start, and whenever its watch had to begin anew.
            self._resync.request()
        self._feed.event(kind, event_type, obj)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do ``work`` until it is done (True) or until ``stop`` (False)."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return working.done()
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
