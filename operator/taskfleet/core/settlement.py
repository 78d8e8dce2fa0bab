"""How a lease ends, and what a queue and its workers look like from outside: the store's vocabulary."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from taskfleet.core.task import LeasedTask, TaskError, TaskView, Usage
from taskfleet.core.wiretime import wire_time


class Verdict(StrEnum):
    """``RETRY`` burns the attempt, ``RELEASE`` gives it back; both return the task to pending after ``delay``. For a
    task that had all of its attempts ``RETRY`` is ``FAIL``."""

    COMPLETE = "complete"
    FAIL = "fail"
    RETRY = "retry"
    RELEASE = "release"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Turn:
    """What a completed task adds to the conversation of its session (JSON), and how many of the oldest turns go."""

    messages: bytes
    forgotten: int = 0


@dataclass(slots=True)  # not frozen: one is made for each task, and freezing trebles what that costs
class Settlement:
    """The end of one lease. Refused by the store when ``fence`` is not the task's newest.

    ``model`` is who answered, where that is not the model that was asked for.
    """

    task_id: str
    fence: int
    verdict: Verdict
    delay: float = 0.0
    output: str | Mapping[str, Any] | None = None
    error: TaskError | None = None
    usage: Usage | None = None
    endpoint: str = ""
    model: str = ""
    run_seconds: float = 0.0
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim brought. ``next_due_in``: seconds until a retry or an expiring lease may bring more (None: unknown).

    ``policy_version`` changes when the queue's policy does, so that a worker knows when to read it again.
    """

    tasks: tuple[LeasedTask, ...]
    next_due_in: float | None
    policy_version: int
    stopped: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """What a claim of certain tasks brought. ``waiting``: those that still wait, behind their session or while nothing
    is claimed at all (``stopped``). Those that are in neither are someone else's now, or have ended.
    """

    tasks: tuple[LeasedTask, ...]
    waiting: frozenset[str]
    policy_version: int
    stopped: bool


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The answer to a heartbeat: leases that are no longer ours, and tasks that someone cancelled."""

    lost: frozenset[str]
    cancelled: frozenset[str]


@dataclass(frozen=True, slots=True)
class CurrentLease:
    """A task as it is now and the fence of its newest lease, which may have ended. ``age`` is in seconds."""

    task: TaskView
    fence: int
    age: float


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker says of itself with every heartbeat; it counts as alive for one lease after that.

    ``process``: a word of its own for each process, so that one that died is known from the next under its name.
    ``trouble``: what keeps it from working, in words; ``waits``: what it waits for although all is well (a rate limit).
    ``gateway``: it is no worker of the pool, but a gateway that calls the endpoint for those who wait for an answer.
    """

    worker: str
    pool: str
    endpoint: str
    slots: int
    inflight: int
    seconds_per_task: float | None = None
    tasks_per_minute: float = 0.0
    tokens_per_task: float | None = None
    models: tuple[str, ...] = ()
    process: str = ""
    trouble: str = ""
    waits: str = ""
    draining: bool = False
    gateway: bool = False


def seconds_to_serve(count: int, reports: Iterable[WorkerReport], model: str | None = None) -> float | None:
    """How long the workers need for so many tasks (of a model) at the rate of their last minute; None when they served
    none, or are not there: then nobody can know."""
    workers = (report for report in reports if not report.gateway)
    serving = [report for report in workers if model is None or model in report.models]
    per_minute = sum(report.tasks_per_minute for report in serving)
    return 60.0 * count / per_minute if per_minute else None


def complaints(reports: Iterable[WorkerReport]) -> list[str]:
    """Why workers do not get on, or wait, each reason of an endpoint once: ``pool/endpoint: words``."""
    said = ((report, report.trouble or (report.waits and f"waits: {report.waits}")) for report in reports)
    return sorted({f"{report.pool}/{report.endpoint}: {words}" for report, words in said if words})


@dataclass(frozen=True, slots=True)
class QueueStats:
    """A queue in numbers, read in O(lanes). Times are seconds of the store's clock.

    ``pending`` waits in a lane or behind its session (``blocked``), ``scheduled`` waits for its time (a retry),
    ``running`` is leased, ``failed`` is the size of the dead-letter set; ``completed``, ``cancelled`` and ``expired``
    count up since the queue exists. ``backlog`` is what workers could take now, by model, also what is scheduled and
    due. ``counters`` are monotonic totals: ``enqueued``, ``lease_expired``, ``failed_total``, ``redriven``,
    ``purged``, ``tokens_input``, ``tokens_output``, ``retries.REASON``. A task that fails again after it was redriven
    has failed twice. ``paused``: by someone, until ``paused_until`` (None: until it is resumed); a stopPolicy is not
    meant.
    """

    pending: int
    scheduled: int
    running: int
    completed: int
    failed: int
    cancelled: int
    expired: int
    depth: Mapping[str, int]
    backlog: Mapping[str, int]
    oldest_pending_at: float | None
    next_due_at: float | None
    now: float
    blocked: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    paused: bool = False
    paused_until: float | None = None

    @property
    def pause(self) -> str:
        """``paused until ...``, "" when it is not."""
        if not self.paused:
            return ""
        end = "someone resumes it" if self.paused_until is None else wire_time(self.paused_until)
        return f"paused until {end}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A failed task, and when it failed (seconds of the store's clock)."""

    task: TaskView
    failed_at: float


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """A batch in numbers. It is done when nothing of it is pending or running."""

    id: str
    total: int
    completed: int
    failed: int
    cancelled: int
    expired: int

    @property
    def open(self) -> int:
        return self.total - self.completed - self.failed - self.cancelled - self.expired


@dataclass(frozen=True, slots=True)
class TenantShare:
    """What a tenant gets: its weight beside the others' in each lane, and the most tasks that it may have waiting."""

    weight: int = 1
    max_pending: int | None = None


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """What the store enforces by itself, and ``spec``: the whole TaskQueue spec for workers and submitters.

    ``fallbacks``: for each model that no healthy endpoint serves now, the model that serves its tasks.
    ``served``: models that endpoints of WorkerPools list, also those that are down now; None where nobody knows.
    ``external``: no worker runs the tasks, so one whose lease ends has killed nobody and is never poison.
    ``tenants`` by name; ``default`` holds for all that are not named. ``partitions``: over how many places of a
    Valkey Cluster its tasks are spread; it cannot change while the queue exists. ``endpoints``: those that gateways may
    call themselves, each with its ``pool`` and as the ``endpoint`` of a WorkerPool.
    """

    spec: Mapping[str, Any]
    max_pending: int
    max_task_bytes: int
    lease_seconds: float
    ttl_seconds: float
    max_attempts: int
    keep_results_seconds: float
    keep_failed_seconds: float
    stopped: bool = False
    closed: bool = False
    fallbacks: Mapping[str, str] = field(default_factory=dict)
    external: bool = False
    tenants: Mapping[str, TenantShare] = field(default_factory=dict)
    partitions: int = 1
    served: tuple[str, ...] | None = None
    endpoints: tuple[Mapping[str, Any], ...] = ()
