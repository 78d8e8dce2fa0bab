"""The controller's one loop: objects and wake-ups in, plans and status out.

Nothing here knows Kubernetes or processes. Objects come in by ``set_*`` and ``forget_*`` in any order; every look at
an object sees its newest version and everything else anew, so that no event can be missed for good.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection
from typing import Literal

from taskfleet.api.base import ObjectMeta
from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.agenda import Agenda
from taskfleet.controller.chronicler import Chronicler
from taskfleet.controller.fleet import Fleet, Surface
from taskfleet.controller.heritage import heir
from taskfleet.controller.pool_reconciler import PoolReconciler
from taskfleet.controller.probes import Prober
from taskfleet.controller.queue_reconciler import QueueReconciler
from taskfleet.controller.reporter import Reporter
from taskfleet.controller.storelink import StoreLink
from taskfleet.controller.world import PoolName, QueueState, World, pool_labels, pool_name
from taskfleet.core.conditions import Condition
from taskfleet.core.errors import TaskfleetError
from taskfleet.core.names import FINALIZER
from taskfleet.core.task import QueueKey
from taskfleet.providers.probe import probe_client
from taskfleet.telemetry.controllermetrics import ControllerMetrics

_log = logging.getLogger(__name__)

# While work goes on, a pool or queue is looked at no more often than this; at rest a wake-up acts at once.
LOOK_SECONDS = 0.25
# A slow second sight of every queue, should a wake-up have been lost. It reads the store and writes nothing.
RESYNC_SECONDS = 30.0
# Objects looked at side by side: a slow answer for one must not hold up the others.
LOOKS_AT_ONCE = 16
FIRST_BACKOFF_SECONDS = 0.2
LAST_BACKOFF_SECONDS = 30.0
_STOP_SECONDS = 5.0

Key = tuple[Literal["TaskQueue"], QueueKey] | tuple[Literal["WorkerPool"], PoolName]


class Reconciler:
    """Give it objects, then ``run`` it. All methods belong to the event loop that ``run`` runs on.

    ``reach``: the URL under which we find what the workers of a namespace find under a URL. ``may_act`` is called
    before the store is changed, and raises when that is no longer ours to do.
    """

    def __init__(
        self,
        *,
        store_url: str,
        fleet: Fleet,
        surface: Surface,
        metrics: ControllerMetrics,
        clock: Callable[[], float] = time.monotonic,
        resync_seconds: float = RESYNC_SECONDS,
        reach: Callable[[str, str], str] = lambda url, _namespace: url,
        may_act: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._resync_seconds = resync_seconds
        self._world = World(heir(clock))
        self._agenda: Agenda[Key] = Agenda(clock)
        self._failures: dict[Key, int] = {}
        self._link = StoreLink(
            store_url, queues=self._world.queues.keys, changed=self._store_changed, woken=self._woken
        )
        self._chronicler = surface = Chronicler(
            surface, self._link, is_known=self._world.queues.__contains__, may_act=may_act
        )
        self._client = probe_client()
        self._prober = Prober(self._client, lambda name: self.touch_pool(*name), reach)
        self._reporter = Reporter(surface, clock)
        self._queue_reconciler = QueueReconciler(
            world=self._world,
            link=self._link,
            surface=surface,
            reporter=self._reporter,
            metrics=metrics,
            clock=clock,
            reach=reach,
            may_act=may_act,
            republish_seconds=resync_seconds,
        )
        self._pool_reconciler = PoolReconciler(
            world=self._world,
            link=self._link,
            fleet=fleet,
            surface=surface,
            reporter=self._reporter,
            prober=self._prober,
            metrics=metrics,
            clock=clock,
            health_changed=self._mark_queue,
        )

    @property
    def chronicler(self) -> Chronicler:
        """Where others show what they do for a queue, so that `taskfleet explain` finds it."""
        return self._chronicler

    def set_queue(self, queue: TaskQueue) -> None:
        """Take in a TaskQueue as it is now: new, edited, being deleted, or the same again."""
        state = self._world.queues.get(queue.key)
        if state is None or state.queue.metadata.uid != queue.metadata.uid:
            self._world.queues[queue.key] = QueueState(queue)
            self._metrics.open_queue(queue.key)
            self._link.follow()
        else:
            before, state.queue = state.queue, queue
            overwritten = self._reporter.is_overwritten(queue)
            if FINALIZER in queue.metadata.finalizers:
                state.guarded = False  # should somebody take it away, it is asked for again
            if _same(before.metadata, queue.metadata) and before.spec == queue.spec and not overwritten:
                return
        self._agenda.mark(("TaskQueue", queue.key))
        self._mark_pools(queue.key)

    def forget_queue(self, key: QueueKey) -> None:
        """The TaskQueue is gone."""
        if self._world.queues.pop(key, None) is None:
            return
        self._agenda.drop(("TaskQueue", key))
        self._failures.pop(("TaskQueue", key), None)
        self._reporter.forget("TaskQueue", key.namespace, key.name)
        self._chronicler.forget_queue(key)
        self._metrics.forget_queue(key)
        self._link.follow()
        self._mark_pools(key)

    def set_pool(self, pool: WorkerPool, services: Condition | None = None) -> None:
        """Take in a WorkerPool as it is now, with all of its endpoints. One that is being deleted is as good as gone.

        ``services`` goes into its status: what was found for a pool that wants Services as endpoints.
        """
        if pool.metadata.deletion_timestamp is not None:
            self.forget_pool(*pool_name(pool))
            return
        name = pool_name(pool)
        state = self._world.pools.get(name)
        before, told = (state.pool, state.services) if state else (None, None)
        self._world.put_pool(pool).services = services
        if before is not None and _same(before.metadata, pool.metadata) and before.spec == pool.spec:
            if self._reporter.is_overwritten(pool) or services != told:
                self.touch_pool(*name)
            return
        if before is not None and before.queue != pool.queue:
            self._metrics.forget_pool(pool_labels(before))
            self._chronicler.forget(before)
            self._mark_queue(before.queue)
        self._metrics.open_pool(pool_labels(pool), [endpoint.name for endpoint in pool.spec.endpoints])
        self._prober.watch(pool)
        self.touch_pool(*name)
        self._mark_queue(pool.queue)

    def forget_pool(self, namespace: str, name: str) -> None:
        """The WorkerPool is gone."""
        gone = self._world.take_pool((namespace, name))
        if gone is None:
            return
        self._prober.forget((namespace, name))
        self._reporter.forget("WorkerPool", namespace, name)
        self._metrics.forget_pool(pool_labels(gone))
        self._chronicler.forget(gone)
        self._agenda.mark(("WorkerPool", (namespace, name)))
        self._mark_queue(gone.queue)

    def touch_pool(self, namespace: str, name: str) -> None:
        """Something of the pool's workers changed, or may have: look again."""
        state = self._world.pools.get((namespace, name))
        if state is not None:
            at = state.planned_at + LOOK_SECONDS if state.loaded else None
            self._agenda.mark(("WorkerPool", (namespace, name)), at)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set; then let what is under way end, and return."""
        link, loop = asyncio.create_task(self._link.run()), asyncio.create_task(self._loop())
        keeping, stopped = asyncio.create_task(self._chronicler.run()), asyncio.create_task(_until(stop))
        try:
            ended, _ = await asyncio.wait((link, loop, keeping, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in (stopped, loop, keeping, link):  # looks under way end before the store is closed under them
                job.cancel()
                await asyncio.wait((job,))
            await self._prober.close()
            await self._client.aclose()
        for job in ended:
            job.result()  # these never end by themselves: raise what ended one

    async def _loop(self) -> None:
        """Take what is due and look at it, several objects side by side, each by one at a time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self._link.tried.wait()
        looks: set[asyncio.Task[None]] = set()
        free = asyncio.Semaphore(LOOKS_AT_ONCE)
        try:
            while True:
                await free.acquire()
                key = await self._agenda.take()
                look = asyncio.create_task(self._look(key))
                looks.add(look)
                look.add_done_callback(looks.discard)
                look.add_done_callback(lambda _: free.release())
        finally:
            if looks:
                await asyncio.wait(looks, timeout=_STOP_SECONDS)
            for look in looks:
                look.cancel()

    async def _look(self, key: Key) -> None:
        """One object's turn. Its trouble ends here: logged, counted, tried again later."""
        began = self._clock()
        try:
            if key[0] == "TaskQueue":
                again_at = await self._queue_reconciler.reconcile(key[1])
            else:
                again_at = await self._pool_reconciler.reconcile(key[1])
        except Exception as error:
            again_at = self._clock() + self._backoff(key)
            foreseen = isinstance(error, TaskfleetError)  # then its sentence says it all
            text = "%s %s could not be reconciled, and is tried again: %s"
            _log.error(text, key[0], _display(key), error, exc_info=None if foreseen else error)
            self._metrics.reconciles.labels(key[0], "error").inc()
        else:
            self._failures.pop(key, None)
            self._metrics.reconciles.labels(key[0], "ok").inc()
        finally:
            self._metrics.reconcile_seconds.labels(key[0]).observe(self._clock() - began)
            self._agenda.done(key)
        if key[0] == "TaskQueue":
            resync_at = began + self._resync_seconds
            self._queue_seen(key[1], resync_at if again_at is None else min(again_at, resync_at))
        elif again_at is not None:
            self._pool_seen(key[1], again_at)

    def _queue_seen(self, key: QueueKey, again_at: float) -> None:
        """A queue's slow second sight serves its pools too: one that knows of no task is woken if there are any."""
        state = self._world.queues.get(key)
        if state is None:
            return
        self._agenda.mark(("TaskQueue", key), again_at)
        if state.loaded:
            for name in self._world.serving(key):
                if not self._world.pools[name].loaded:
                    self.touch_pool(*name)

    def _pool_seen(self, name: PoolName, again_at: float) -> None:
        """While a pool's workers work, the numbers of its queue move."""
        state = self._world.pools.get(name)
        if state is None:
            return
        self._agenda.mark(("WorkerPool", name), again_at)
        if state.pool is not None and state.pool.queue in self._world.queues:
            self._agenda.mark(("TaskQueue", state.pool.queue), again_at)

    def _backoff(self, key: Key) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return float(min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 16)))

    def _store_changed(self) -> None:
        self._metrics.store_up.set(self._link.is_up)
        self._chronicler.store_changed()
        for key, state in self._world.queues.items():
            state.published = None  # another server, or one that lost its memory, may have come back
            self._agenda.mark(("TaskQueue", key))
        for name in self._world.pools:
            self._agenda.mark(("WorkerPool", name))

    def _woken(self, queues: Collection[QueueKey]) -> None:
        now = self._clock()
        for key in queues:
            for name in self._world.serving(key):
                state = self._world.pools[name]
                if state.woken_at is None and not any(state.asked.values()):
                    state.woken_at = now
            self._mark_pools(key)
            self._mark_queue(key)

    def _mark_pools(self, queue: QueueKey) -> None:
        for name in self._world.serving(queue):
            self.touch_pool(*name)

    def _mark_queue(self, key: QueueKey) -> None:
        state = self._world.queues.get(key)
        if state is not None:
            self._agenda.mark(("TaskQueue", key), state.looked_at + LOOK_SECONDS if state.loaded else None)


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


def _same(before: ObjectMeta, after: ObjectMeta) -> bool:
    """Whether nothing that we act on changed; status and labels come back to us with every write."""

    def acted_on(meta: ObjectMeta) -> tuple[object, ...]:
        return meta.uid, meta.generation, meta.deletion_timestamp, meta.finalizers, meta.annotations

    return acted_on(before) == acted_on(after)


def _display(key: Key) -> str:
    return str(key[1]) if key[0] == "TaskQueue" else "/".join(key[1])
