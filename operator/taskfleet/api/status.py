"""The status of each kind, which the controller builds and writes: what ``kubectl get`` and ``describe`` show.

``to_wire()`` is the whole status: what is not in it is not known or no longer true, so whoever writes it as a merge
patch has to send null for the fields that have gone (``oldestPendingTime`` of a queue that has become empty).
"""

from typing import Annotated, Literal

from pydantic import Field

from taskfleet.api.base import BY_NAME, BY_TYPE, UNIQUE, ApiModel, Keywords, Name
from taskfleet.core.parallel.phase import Phase

MAX_STATUS_LIST = 256

Time = Annotated[str, Field(max_length=64), Keywords({"format": "date-time"})]
Count = Annotated[int, Field(ge=0), Keywords({"format": "int64"})]


class ConditionStatus(ApiModel):
    """One aspect of the object's state, in the form of metav1.Condition."""

    type: str = Field(min_length=1, max_length=316, description="What the condition is about, in CamelCase.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(min_length=1, max_length=1024, description="Why, as one CamelCase word for machines.")
    message: str = Field(max_length=32768, description="Why, as a sentence for people.")
    last_transition_time: Time = Field(description="When status last changed.")
    observed_generation: Count = Field(0, description="The metadata.generation that this was decided from.")


class Depth(ApiModel):
    """Pending tasks by priority."""

    critical: Count = Field(0, description="Pending tasks of priority critical.")
    high: Count = Field(0, description="Pending tasks of priority high.")
    normal: Count = Field(0, description="Pending tasks of priority normal.")
    low: Count = Field(0, description="Pending tasks of priority low.")


class TaskQueueStatus(ApiModel):
    """The tasks of the queue, counted by state."""

    observed_generation: Count = Field(0, description="The metadata.generation that the controller has acted on.")
    pending: Count = Field(0, description="Tasks that wait for a worker.")
    scheduled: Count = Field(0, description="Tasks that wait for the time of their next attempt.")
    running: Count = Field(0, description="Tasks in the hands of workers.")
    completed: Count = Field(0, description="Tasks completed since the queue exists.")
    failed: Count = Field(0, description="Failed tasks that are kept with their last error (dead letters).")
    cancelled: Count = Field(0, description="Tasks cancelled since the queue exists.")
    expired: Count = Field(0, description="Tasks that waited longer than taskTTL, since the queue exists.")
    oldest_pending_time: Time | None = Field(None, description="When the oldest pending task was submitted.")
    depth: Depth = Field(default_factory=Depth, description="Pending tasks by priority.")
    pools: Annotated[list[Name], UNIQUE] = Field(
        default_factory=list, max_length=MAX_STATUS_LIST, description="Names of the WorkerPools that serve the queue."
    )
    conditions: Annotated[list[ConditionStatus], BY_TYPE] = Field(
        default_factory=list,
        max_length=32,
        description="Ready, StoreReachable, Paused and Served, each with its reason.",
    )


class EndpointStatus(ApiModel):
    """One endpoint and its workers, as last observed."""

    name: str = Field(
        max_length=63, description="Name of the endpoint in spec.endpoints, or of the Service that was found."
    )
    healthy: bool | None = Field(None, description="Whether it answers its probe; absent until the first probe ended.")
    workers: Count = Field(0, description="Workers that were asked for.")
    ready: Count = Field(0, description="Workers that are ready to take tasks.")
    inflight: Count = Field(0, description="Tasks that its workers run now.")
    latency_seconds: float | None = Field(
        None, ge=0, description="Seconds that one task takes, on average; absent until one has run."
    )
    cold_start_seconds: float | None = Field(
        None,
        ge=0,
        description="Seconds from asking for its last worker with a model server of its own to that worker's start.",
    )
    tasks_per_minute: float = Field(0.0, ge=0, description="Tasks that its workers ended in the last minute.")
    idle_since: Time | None = Field(
        None, description="Since when its workers have nothing to do; absent while they have."
    )
    reason: str = Field("", max_length=1024, description="Why it has this many workers, as one CamelCase word.")
    message: str = Field("", max_length=32768, description="Why it has this many workers, as a sentence.")


class WorkerPoolStatus(ApiModel):
    """The workers of the pool, and why there are that many."""

    observed_generation: Count = Field(0, description="The metadata.generation that the controller has acted on.")
    replicas: Count = Field(0, description="Workers that exist, over all endpoints.")
    ready_replicas: Count = Field(0, description="Workers that are ready to take tasks.")
    desired_replicas: Count = Field(0, description="Workers that the last plan asked for.")
    needed_replicas: Count | None = Field(
        None,
        description="Workers that what waits and runs can use, before delays and maxWorkers: what an HPA is told. "
        "Absent while that cannot be said.",
    )
    selector: str = Field("", max_length=1024, description="Label selector of the worker pods, for /scale.")
    endpoints: Annotated[list[EndpointStatus], BY_NAME] = Field(
        default_factory=list, max_length=MAX_STATUS_LIST, description="Each endpoint and its workers."
    )
    last_scale_time: Time | None = Field(None, description="When the number of workers was last changed.")
    last_scale_reason: str = Field("", max_length=32768, description="Why it was changed then, as a sentence.")
    conditions: Annotated[list[ConditionStatus], BY_TYPE] = Field(
        default_factory=list,
        max_length=32,
        description="Ready, ScalingActive, ScalingLimited, ScalingDisputed, EndpointsHealthy and, with discovery, "
        "ServicesFound, each with its reason.",
    )


class StepCounts(ApiModel):
    """How often one step ended in which way, over all items and rounds."""

    name: str = Field(max_length=253, description="Name of the step.")
    ok: Count = Field(0, description="Times that it did what it was to do.")
    skipped: Count = Field(0, description="Times that its condition did not hold.")
    failed: Count = Field(0, description="Times that it failed for good.")
    cancelled: Count = Field(0, description="Times that the run ended before it did.")


class Cause(ApiModel):
    """Why items failed."""

    cause: str = Field(max_length=1024, description="The error, as a sentence.")
    items: Count = Field(description="Items that failed with it.")


class ParallelQueueStatus(ApiModel):
    """How far the run is, or how it ended."""

    observed_generation: Count = Field(0, description="The metadata.generation that the controller has acted on.")
    phase: Phase = Field(
        Phase.PENDING,
        description="Pending: it has not begun. Running. Completed: also when items failed, or until holds. Failed: a "
        "step stopped it, or its items could not be read. Cancelled. Expired: its deadline passed.",
    )
    progress: str = Field("", max_length=64, description="Items that have ended, of how many.")
    total: Count | None = Field(None, description="Items in all; absent until they are known.")
    open: Count = Field(0, description="Items that are on their way.")
    completed: Count = Field(0, description="Items that went through all of their steps.")
    failed: Count = Field(0, description="Items that a step of theirs has failed.")
    cancelled: Count = Field(0, description="Items that were begun and not finished when the run ended.")
    steps: Annotated[list[StepCounts], BY_NAME] = Field(
        default_factory=list, max_length=MAX_STATUS_LIST, description="What the steps came to, in their order."
    )
    causes: list[Cause] = Field(
        default_factory=list, max_length=32, description="The commonest reasons for which items failed."
    )
    start_time: Time | None = Field(None, description="When the run began; from then on the spec cannot change.")
    end_time: Time | None = Field(None, description="When the run ended.")
    conditions: Annotated[list[ConditionStatus], BY_TYPE] = Field(
        default_factory=list, max_length=32, description="Ready and Ended, each with its reason."
    )
