"""One look at one queue: publish its policy, tend its clock, drain it when it is deleted, tell."""

import time
from collections.abc import Callable

from taskfleet.api.taskqueue import TaskQueue
from taskfleet.controller.callable import callable_endpoints
from taskfleet.controller.deletion import Deletion, decide_deletion
from taskfleet.controller.fleet import Surface
from taskfleet.controller.news import queue_news
from taskfleet.controller.policy import queue_policy
from taskfleet.controller.queue_status import queue_status, unserved_models
from taskfleet.controller.reporter import Reporter
from taskfleet.controller.storelink import StoreLink
from taskfleet.controller.world import QueueState, World
from taskfleet.core.errors import StoreError
from taskfleet.core.fallbacks import decide_fallbacks
from taskfleet.core.names import DISCARD_ANNOTATION, FINALIZER
from taskfleet.core.pool import Execution, StopPolicy
from taskfleet.core.settlement import QueueStats
from taskfleet.core.task import QueueKey
from taskfleet.core.wiretime import wire_time
from taskfleet.store import Store
from taskfleet.telemetry.controllermetrics import ControllerMetrics

BUSY_SECONDS = 1.0
# A store that answers but refuses this queue (it is full, say) is asked again after this.
TROUBLE_SECONDS = 5.0
# A due time that the store has not dealt with in one bounded step is tried again after this.
_OVERDUE_SECONDS = 0.25
# A model that no endpoint serves may have one that was not seen yet, in the first seconds of a controller's life.
MISSING_POOL_PATIENCE = 5.0


class QueueReconciler:
    """Level-triggered: every call looks at everything of the queue, and says when to look again (None: on an event)."""

    def __init__(
        self,
        *,
        world: World,
        link: StoreLink,
        surface: Surface,
        reporter: Reporter,
        metrics: ControllerMetrics,
        clock: Callable[[], float],
        reach: Callable[[str, str], str],
        may_act: Callable[[], None],
        republish_seconds: float,
    ) -> None:
        self._world = world
        self._link = link
        self._surface = surface
        self._reporter = reporter
        self._metrics = metrics
        self._clock = clock
        self._reach = reach
        self._may_act = may_act
        self._republish_seconds = republish_seconds

    async def reconcile(self, key: QueueKey) -> float | None:
        state = self._world.queues.get(key)
        if state is None or state.released:
            return None
        state.looked_at = self._clock()
        state.known_since = state.looked_at if state.known_since is None else state.known_since
        queue = state.queue
        await self._guard(queue, state)
        trouble, deletion = None, None
        try:
            deletion = await self._tend(self._link.use(), queue, state)
        except StoreError as error:
            self._link.failed(error)
            trouble = error
        if state.dropped:
            await self._surface.release(queue)
            state.released = True
            return None
        again_at = await self._report(queue, state, trouble, deletion)
        return min((at for at in (again_at, self._next_look(key, state, trouble)) if at is not None), default=None)

    async def _guard(self, queue: TaskQueue, state: QueueState) -> None:
        """The finalizer comes before the first task can: no queue goes with tasks in it unnoticed."""
        if _is_deleted(queue) or FINALIZER in queue.metadata.finalizers or state.guarded:
            return
        await self._surface.ensure_finalizer(queue)
        state.guarded = True

    async def _tend(self, store: Store, queue: TaskQueue, state: QueueState) -> Deletion | None:
        if _is_deleted(queue):
            return await self._drain(store, queue, state)
        await self._publish(store, queue, state)
        state.stats = await self._stats(store, queue.key)
        if state.stats is None:  # the store lost the queue with all its data: give it the policy anew
            state.published = None
            await self._publish(store, queue, state)
            state.stats = await self._stats(store, queue.key)
        return None

    async def _publish(self, store: Store, queue: TaskQueue, state: QueueState) -> None:
        fallbacks = await self._fallbacks(store, queue, state)
        policy = queue_policy(
            queue.spec,
            closed=_is_deleted(queue),
            fallbacks=fallbacks,
            served=self._served(queue, state),
            endpoints=callable_endpoints(queue.spec, self._world.pools_of(queue.key), self._reach),
        )
        if policy != state.published or self._clock() >= state.published_at + self._republish_seconds:
            self._may_act()
            # The same again changes nothing in the store, and takes back a late word of a controller before us.
            await store.put_policy(queue.key, policy)
            state.published, state.published_at = policy, self._clock()

    async def _fallbacks(self, store: Store, queue: TaskQueue, state: QueueState) -> dict[str, str]:
        """Those that the endpoints' health asks for now. What a controller before us decided stands in the store."""
        fallbacks = queue.spec.fallbacks
        if not fallbacks:
            return {}
        published = state.published or await store.policy(queue.key)
        return decide_fallbacks(
            fallbacks,
            self._world.model_health(queue.key),
            published.fallbacks if published else {},
            all_seen=not self._pools_may_be_missing(state),
        )

    def _served(self, queue: TaskQueue, state: QueueState) -> tuple[str, ...] | None:
        """The models that a waiting caller may hope for; None as long as a pool may not have been seen."""
        if queue.spec.execution is Execution.EXTERNAL or self._pools_may_be_missing(state):
            return None
        return tuple(sorted(self._world.model_health(queue.key)))

    def _pools_may_be_missing(self, state: QueueState) -> bool:
        return state.known_since is not None and self._clock() < state.known_since + MISSING_POOL_PATIENCE

    async def _stats(self, store: Store, key: QueueKey) -> QueueStats | None:
        """The queue's numbers, after the store has dealt with what is due."""
        stats = await store.stats(key)
        if stats is not None and stats.next_due_at is not None and stats.next_due_at <= stats.now:
            await store.tick(key)
            stats = await store.stats(key)
        return stats

    async def _drain(self, store: Store, queue: TaskQueue, state: QueueState) -> Deletion | None:
        """Close the queue, let it run empty, then drop its data."""
        if state.dropped:
            return None
        await self._publish(store, queue, state)
        state.stats = await self._stats(store, queue.key)
        pools = self._world.pools_of(queue.key)
        deletion = decide_deletion(
            state.stats,
            discard=queue.metadata.annotations.get(DISCARD_ANNOTATION) == "true",
            stop=queue.spec.stop_policy,
            execution=queue.spec.execution,
            unserved=unserved_models(queue, state.stats, pools, state.fallbacks),
            pools=len(pools),
        )
        if deletion.drop:
            self._may_act()
            await store.drop_queue(queue.key)
            state.dropped = True
        return deletion

    async def _report(
        self, queue: TaskQueue, state: QueueState, trouble: StoreError | None, deletion: Deletion | None
    ) -> float | None:
        if trouble is None and state.stats is not None:
            paused = state.stats.paused or queue.spec.stop_policy is not StopPolicy.NONE
            self._metrics.show_queue(queue.key, state.stats, paused=paused)
        before = self._reporter.last(queue)
        status = queue_status(
            queue,
            stats=state.stats,
            trouble=trouble,
            pools=self._world.pools_of(queue.key),
            fallbacks=state.fallbacks,
            deletion=deletion,
            last=before,
            now=wire_time(time.time()),
        )
        written, again_at = await self._reporter.report(queue, status)
        if written:
            for news in queue_news(before, status):
                self._surface.event("TaskQueue", queue, news.reason, news.message, warning=news.warning)
        return again_at

    def _next_look(self, key: QueueKey, state: QueueState, trouble: StoreError | None) -> float | None:
        stats, now = state.stats, self._clock()
        if trouble is not None:
            return now + TROUBLE_SECONDS if self._link.is_up else None
        if stats is None:
            return None
        due = None if stats.next_due_at is None else now + max(_OVERDUE_SECONDS, stats.next_due_at - stats.now)
        if state.known_since is not None and self._pools_may_be_missing(state):
            patience_ends = state.known_since + MISSING_POOL_PATIENCE
            due = patience_ends if due is None else min(due, patience_ends)
        somebody_claims = state.queue.spec.execution is Execution.EXTERNAL or any(
            sum(self._world.pools[name].asked.values()) for name in self._world.serving(key)
        )
        if stats.running or (stats.pending and somebody_claims):
            return now + BUSY_SECONDS if due is None else min(due, now + BUSY_SECONDS)
        return due


def _is_deleted(queue: TaskQueue) -> bool:
    return queue.metadata.deletion_timestamp is not None
