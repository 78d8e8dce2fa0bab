"""What the reconciler holds in memory: the newest objects, and what it did for each of them last."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.fleet import FleetState
from taskfleet.core.conditions import Condition
from taskfleet.core.scaling import ScaleMemory
from taskfleet.core.settlement import QueuePolicy, QueueStats
from taskfleet.core.task import QueueKey

PoolName = tuple[str, str]


def pool_name(pool: WorkerPool) -> PoolName:
    return pool.metadata.namespace, pool.metadata.name


def pool_labels(pool: WorkerPool) -> tuple[str, str, str]:
    """Namespace, queue and pool, as metrics name them."""
    return pool.metadata.namespace, pool.spec.queue_ref.name, pool.metadata.name


@dataclass(slots=True)
class QueueState:
    """One queue. ``published`` is the policy that the store has, as far as we know, put at ``published_at``; ``stats``
    the last it told.

    ``guarded`` is True once the finalizer was asked for; of a deleted queue, ``dropped`` once its data is gone, and
    ``released`` once the finalizer was taken away. ``known_since`` is when it was looked at first.
    """

    queue: TaskQueue
    published: QueuePolicy | None = None
    published_at: float = float("-inf")
    stats: QueueStats | None = None
    guarded: bool = False
    dropped: bool = False
    released: bool = False
    looked_at: float = float("-inf")
    known_since: float | None = None

    @property
    def fallbacks(self) -> Mapping[str, str]:
        """The fallbacks in use, as far as we know."""
        return self.published.fallbacks if self.published else {}

    @property
    def loaded(self) -> bool:
        return self.stats is not None and self.stats.pending + self.stats.running > 0


@dataclass(slots=True)
class PoolState:
    """One pool; ``pool`` is None when it was deleted and its workers are still to be removed.

    ``asked`` is the workers of each endpoint that were last asked for with success, ``pace`` and ``tokens`` the last
    known seconds and tokens of a task there, ``cold_starts`` the seconds that its last worker with a model server of
    its own took to come, ``usable`` whether an endpoint can serve (None: not known), ``loaded`` whether the last plan
    saw any task, ``woken_at`` when a wake-up came that no plan has answered yet, ``services`` what is said of the
    Services that the pool wants as endpoints, if it does.
    """

    pool: WorkerPool | None
    asked: dict[str, int] = field(default_factory=dict)
    pace: dict[str, float] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)
    cold_starts: dict[str, float] = field(default_factory=dict)
    usable: Mapping[str, bool | None] = field(default_factory=dict)
    fleet: Mapping[str, FleetState] = field(default_factory=dict)
    memory: Mapping[str, ScaleMemory] = field(default_factory=dict)
    loaded: bool = False
    planned_at: float = float("-inf")
    woken_at: float | None = None
    last_scale_time: str | None = None
    last_scale_reason: str = ""
    services: Condition | None = None


class World:
    """All queues and pools, and which pools serve which queue. ``inherit`` gives what is known of a pool that is new
    to us: the controller before us may have left something in its status."""

    def __init__(self, inherit: Callable[[WorkerPool], "PoolState"]) -> None:
        self._inherit = inherit
        self.queues: dict[QueueKey, QueueState] = {}
        self.pools: dict[PoolName, PoolState] = {}
        self._serving: dict[QueueKey, set[PoolName]] = {}

    def serving(self, queue: QueueKey) -> Collection[PoolName]:
        """Names of the pools that refer to the queue, also while the queue does not exist."""
        return self._serving.get(queue, ())

    def pools_of(self, queue: QueueKey) -> list[WorkerPool]:
        """Those pools themselves, by name."""
        states = (self.pools[name] for name in sorted(self.serving(queue)))
        return [state.pool for state in states if state.pool is not None]

    def model_health(self, queue: QueueKey) -> dict[str, list[bool | None]]:
        """Of each model that pools of the queue serve: whether its endpoints are usable, one by one."""
        health: dict[str, list[bool | None]] = {}
        for pool in self.pools_of(queue):
            usable = self.pools[pool_name(pool)].usable
            for endpoint in pool.spec.endpoints:
                for model in endpoint.models:
                    health.setdefault(model, []).append(usable.get(endpoint.name))
        return health

    def put_pool(self, pool: WorkerPool) -> PoolState:
        """Take the newest object in. What was remembered stays, unless it is another object of the same name."""
        name = pool_name(pool)
        state = self.pools.get(name)
        if state is None or (state.pool is not None and state.pool.metadata.uid != pool.metadata.uid):
            state = self.pools[name] = self._inherit(pool)
        self._unlink(name)
        state.pool = pool
        self._serving.setdefault(pool.queue, set()).add(name)
        return state

    def take_pool(self, name: PoolName) -> WorkerPool | None:
        """The pool is deleted: its state stays, without the object, until its workers are removed."""
        state = self.pools.get(name)
        if state is None:
            return None
        self._unlink(name)
        gone, state.pool = state.pool, None
        return gone

    def _unlink(self, name: PoolName) -> None:
        pool = self.pools[name].pool
        if pool is None:
            return
        names = self._serving.get(pool.queue, set())
        names.discard(name)
        if not names:
            self._serving.pop(pool.queue, None)
