"""One look at one pool: observe, plan, apply, tell."""

import time
from collections.abc import Callable
from dataclasses import replace

from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.fleet import Fleet, FleetRefused, Surface
from taskfleet.controller.news import pool_news
from taskfleet.controller.observe import (
    Sight,
    observe_endpoints,
    observe_queue,
    remember_cold_starts,
    remember_pace,
    usable_endpoints,
)
from taskfleet.controller.pool_status import pool_status
from taskfleet.controller.probes import Prober
from taskfleet.controller.reporter import Reporter
from taskfleet.controller.storelink import StoreLink
from taskfleet.controller.world import PoolName, PoolState, World, pool_labels
from taskfleet.core.conditions import Status
from taskfleet.core.errors import StoreError
from taskfleet.core.needs import count
from taskfleet.core.plan import EndpointPlan, Plan, plan
from taskfleet.core.pool import EndpointObserved, Observed
from taskfleet.core.task import QueueKey
from taskfleet.core.wiretime import wire_time
from taskfleet.telemetry.controllermetrics import ControllerMetrics

# Numbers move without a wake-up while tasks run: a settled task tells nobody.
BUSY_SECONDS = 1.0
STUCK_SECONDS = 5.0


class PoolReconciler:
    """Level-triggered: every call looks at everything of the pool, and says when to look again (None: on an event)."""

    def __init__(
        self,
        *,
        world: World,
        link: StoreLink,
        fleet: Fleet,
        surface: Surface,
        reporter: Reporter,
        prober: Prober,
        metrics: ControllerMetrics,
        clock: Callable[[], float],
        health_changed: Callable[[QueueKey], None],
    ) -> None:
        self._world = world
        self._link = link
        self._fleet = fleet
        self._surface = surface
        self._reporter = reporter
        self._prober = prober
        self._metrics = metrics
        self._clock = clock
        self._health_changed = health_changed

    async def reconcile(self, name: PoolName) -> float | None:
        state = self._world.pools.get(name)
        if state is None:
            return None
        if state.pool is None:
            await self._remove(name)
            return None
        return await self._reconcile(state.pool, name, state)

    async def _remove(self, name: PoolName) -> None:
        await self._fleet.remove(*name)
        if self._world.pools[name].pool is None:  # else it was created again meanwhile
            del self._world.pools[name]

    async def _reconcile(self, pool: WorkerPool, name: PoolName, state: PoolState) -> float | None:
        sight = await self._see(pool.queue)
        try:
            state.fleet = await self._fleet.observe(pool)
        except StoreError as error:  # a fleet may ask the store which workers are alive
            self._link.failed(error)
            sight = Sight(trouble=error)
        remember_pace(pool, state, sight)
        remember_cold_starts(state)
        seen = observe_endpoints(pool, state, sight, self._prober.health(name))
        if sight.trouble is None:
            self._remember_health(pool, state, seen)
        queue = self._world.queues.get(pool.queue)
        observed_queue = observe_queue(queue.queue.spec if queue else None, sight, queue.fallbacks if queue else {})
        observed = Observed(observed_queue, seen, state.memory, self._fleet.autoscalers(pool))
        state.planned_at = self._clock()
        decided = plan(pool.spec.policy, observed, state.planned_at)
        try:
            await self._fleet.apply(pool, decided, {report.worker: report.inflight for report in sight.reports})
        except FleetRefused as error:
            seen = {name: replace(each, stuck=error.by_endpoint.get(name, each.stuck)) for name, each in seen.items()}
            decided = plan(pool.spec.policy, replace(observed, endpoints=seen), state.planned_at)
        if not _is_still(state.pool, pool):  # edited or deleted meanwhile: that mark is already on the agenda
            return None
        self._remember(pool, state, decided, sight, seen)
        status = pool_status(
            pool,
            state,
            plan=decided,
            seen=seen,
            sight=sight,
            last=self._reporter.last(pool),
            now=wire_time(time.time()),
        )
        self._show_metrics(pool, decided, seen)
        return _earliest(
            await self._report(pool, status),
            decided.look_again_at,
            self._busy_until(state, sight, seen),
            self._pause_ends_at(sight),
        )

    def _remember_health(self, pool: WorkerPool, state: PoolState, seen: dict[str, EndpointObserved]) -> None:
        usable = usable_endpoints(seen)
        if usable != state.usable:
            state.usable = usable
            self._health_changed(pool.queue)

    async def _see(self, queue: QueueKey) -> Sight:
        """The queue in the store; a failure is what was seen, and makes the link look after the store."""
        try:
            store = self._link.use()
            return Sight(await store.stats(queue), await store.workers(queue))
        except StoreError as error:
            self._link.failed(error)
            return Sight(trouble=error)

    def _remember(
        self, pool: WorkerPool, state: PoolState, decided: Plan, sight: Sight, seen: dict[str, EndpointObserved]
    ) -> None:
        changes = [endpoint for endpoint in decided.endpoints if endpoint.workers != seen[endpoint.name].workers]
        for endpoint in changes:
            self._tell_change(pool, state, endpoint, before=seen[endpoint.name].workers)
        if state.woken_at is not None and decided.workers:
            self._metrics.scale_reaction.labels(*pool_labels(pool)).observe(self._clock() - state.woken_at)
        state.woken_at = None
        state.asked = {endpoint.name: endpoint.workers for endpoint in decided.endpoints}
        state.memory = decided.memory
        state.loaded = sight.stats is not None and sight.stats.pending + sight.stats.running > 0

    def _tell_change(self, pool: WorkerPool, state: PoolState, endpoint: EndpointPlan, *, before: int) -> None:
        up = endpoint.workers > before
        verb = "ScaledUp" if up else "ScaledDown"
        text = f"{endpoint.name} from {before} to {count(endpoint.workers, 'worker')}: {endpoint.message}"
        state.last_scale_time, state.last_scale_reason = wire_time(time.time()), text
        self._surface.event("WorkerPool", pool, verb, text, warning=False)
        self._metrics.scale_decisions.made(pool_labels(pool), "up" if up else "down", endpoint.reason)

    async def _report(self, pool: WorkerPool, status: dict[str, object]) -> float | None:
        before = self._reporter.last(pool)
        written, again_at = await self._reporter.report(pool, status)
        if written:
            for news in pool_news(before, status):
                self._surface.event("WorkerPool", pool, news.reason, news.message, warning=news.warning)
        return again_at

    def _busy_until(self, state: PoolState, sight: Sight, seen: dict[str, EndpointObserved]) -> float | None:
        """Look again soon while something moves that tells nobody: running tasks, starting or ending workers."""
        if sight.trouble is not None:
            return self._clock() + STUCK_SECONDS if self._link.is_up else None
        asked = sum(state.asked.values())
        running = sight.stats.running if sight.stats else 0
        if running or (state.loaded and asked):
            return self._clock() + BUSY_SECONDS
        if any(endpoint.stuck for endpoint in seen.values()):
            return self._clock() + STUCK_SECONDS
        if asked != sum(fleet.ready for fleet in state.fleet.values()):
            return self._clock() + BUSY_SECONDS
        return None

    def _pause_ends_at(self, sight: Sight) -> float | None:
        """Nobody tells of the end of a pause that was given one."""
        stats = sight.stats
        if stats is None or stats.paused_until is None:
            return None
        return self._clock() + max(0.0, stats.paused_until - stats.now)

    def _show_metrics(self, pool: WorkerPool, decided: Plan, seen: dict[str, EndpointObserved]) -> None:
        limited = any(each.type == "ScalingLimited" and each.status is Status.TRUE for each in decided.conditions)
        self._metrics.show_scaling(pool_labels(pool), limited=limited, needed=decided.needed)
        for endpoint in decided.endpoints:
            observed = seen[endpoint.name]
            self._metrics.show_endpoint(
                (*pool_labels(pool), endpoint.name),
                desired=endpoint.workers,
                ready=observed.ready,
                healthy=observed.healthy is True,
            )


def _is_still(newest: WorkerPool | None, pool: WorkerPool) -> bool:
    """Whether what was looked at is still there unedited. A new version may only be our own status coming back."""
    if newest is None:
        return False
    before, after = pool.metadata, newest.metadata
    return (before.uid, before.generation) == (after.uid, after.generation) and pool.spec == newest.spec


def _earliest(*times: float | None) -> float | None:
    return min((at for at in times if at is not None), default=None)
