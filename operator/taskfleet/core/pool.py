"""What planning knows of a pool (its policy) and what it sees of it (an observation)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from taskfleet.core.ratelimit import NO_LIMITS, RateLimits
from taskfleet.core.scaling import Patience, ScaleMemory, ScalingTarget


class StopPolicy(StrEnum):
    """``HOLD``: take nothing new, keep the workers. ``HOLD_AND_DRAIN``: finish what runs, then have no workers."""

    NONE = "None"
    HOLD = "Hold"
    HOLD_AND_DRAIN = "HoldAndDrain"


class Execution(StrEnum):
    """Who runs a queue's tasks: workers of its pools, or someone outside who claims and ends them one by one."""

    WORKERS = "Workers"
    EXTERNAL = "External"


class Online(StrEnum):
    """How a gateway serves a caller who waits: through the queue, by a call of its own, or the first with the second
    for as long as no worker is ready."""

    QUEUE = "Queue"
    DIRECT = "Direct"
    AUTO = "Auto"


class Strategy(StrEnum):
    """Which endpoint gets the next worker: by room, in turn, by weight, the fastest first, the cheapest first."""

    LEAST_LOADED = "LeastLoaded"
    ROUND_ROBIN = "RoundRobin"
    WEIGHTED = "Weighted"
    FASTEST = "Fastest"
    CHEAPEST = "Cheapest"


class AutoscalingMode(StrEnum):
    """Who decides how many workers there are: the controller, an HPA that it owns, or someone outside. The last two
    say so in the pool's ``spec.replicas``."""

    OPERATOR = "Operator"
    HPA = "HPA"
    EXTERNAL = "External"


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """What planning needs to know of an endpoint. ``models`` are the lanes that it serves, ``cost`` is in dollars for a
    million tokens."""

    name: str
    models: frozenset[str]
    concurrency: int
    max_workers: int
    weight: int = 1
    cost: float = 0.0
    limits: RateLimits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """What planning needs to know of a pool. ``replicas`` is what its spec says (None: nothing)."""

    endpoints: tuple[EndpointPolicy, ...]
    min_workers: int
    max_workers: int
    target: ScalingTarget
    patience: Patience
    strategy: Strategy = Strategy.LEAST_LOADED
    mode: AutoscalingMode = AutoscalingMode.OPERATOR
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class EndpointObserved:
    """An endpoint as seen now. ``workers`` were asked for, ``ready`` of them can work.

    ``healthy``: whether the endpoint answers its probe (None: not known yet), ``trouble``: why not, in words.
    ``stuck``: why its workers do not come up, in words. ``complaint``: what all of its workers say keeps them from
    working, in words: they call it with its key and its models, which a probe does not. ``waits``: what all of them
    wait for although all is well, in words. ``seconds_per_task`` and ``tokens_per_task`` are None until one has run.
    ``cold_start``: seconds until another worker is ready, None when it is not known or not worth a thought.
    """

    workers: int = 0
    ready: int = 0
    inflight: int = 0
    healthy: bool | None = None
    trouble: str = ""
    stuck: str = ""
    complaint: str = ""
    waits: str = ""
    seconds_per_task: float | None = None
    tokens_per_task: float | None = None
    cold_start: float | None = None


Seen = Mapping[str, EndpointObserved]


@dataclass(frozen=True, slots=True)
class QueueObserved:
    """The pool's queue as seen now. ``exists`` is False when there is no such TaskQueue.

    ``backlog`` is waiting tasks by lane, None when the store could not be asked: then ``unseen_reason`` (CamelCase)
    and ``unseen`` (in words) say why. ``pause`` says in words for how long someone paused it, "" when nobody did.
    """

    exists: bool = True
    stop: StopPolicy = StopPolicy.NONE
    backlog: Mapping[str, int] | None = field(default_factory=dict)
    unseen_reason: str = ""
    unseen: str = ""
    execution: Execution = Execution.WORKERS
    pause: str = ""

    @property
    def is_external(self) -> bool:
        return self.execution is Execution.EXTERNAL

    @property
    def hold(self) -> str:
        """Why no task is started, in words; "" when tasks are."""
        if self.stop is not StopPolicy.NONE:
            return f"the queue's stopPolicy is {self.stop.value}"
        return self.pause and f"the queue is {self.pause}"


@dataclass(frozen=True, slots=True)
class AutoscalersObserved:
    """What else scales, in words. ``trouble``: why the HPA that we own does not, "" when it does. ``second``: who else
    writes the number of workers although another does, "" when nobody."""

    trouble: str = ""
    second: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything seen for one plan, and the memory that the plan before it left."""

    queue: QueueObserved
    endpoints: Mapping[str, EndpointObserved]
    memory: Mapping[str, ScaleMemory] = field(default_factory=dict)
    autoscalers: AutoscalersObserved = AutoscalersObserved()
