"""TaskQueue: the policy of a queue and what ``kubectl get tq`` shows of the tasks in it."""

from typing import Any, Literal

from pydantic import Field

from taskfleet.api.base import ApiModel, Duration, ModelName, ObjectMeta, Size
from taskfleet.core.models import OfferedModel
from taskfleet.core.plan import StopPolicy
from taskfleet.core.retry import RetryPolicy
from taskfleet.core.task import QueueKey


class Retry(ApiModel):
    """How a failed attempt is repeated: exponential backoff with jitter."""

    max_attempts: int = Field(5, ge=1, le=100, description="Attempts in all, the first one included.")
    initial_delay: Duration = Field(Duration("1s"), description="Delay before the second attempt.")
    max_delay: Duration = Field(Duration("60s"), description="No delay is longer than this.")
    multiplier: float = Field(2.0, ge=1, le=10, description="Factor by which each delay exceeds the one before.")
    jitter: float = Field(0.2, ge=0, le=1, description="Share by which a delay is moved at random, either way.")


class Limits(ApiModel):
    """Back-pressure: what the queue refuses to hold."""

    max_pending: int = Field(
        1_000_000, ge=1, le=100_000_000, description="Tasks that may wait; a submission beyond is refused whole."
    )
    max_task_bytes: Size = Field(Size("1Mi"), description="Largest task as JSON, in bytes or with Ki or Mi.")


class Retention(ApiModel):
    """How long finished tasks are kept."""

    results: Duration = Field(Duration("24h"), description="Completed, cancelled and expired tasks and their results.")
    failed: Duration = Field(Duration("168h"), description="Failed tasks (dead letters) with their last error.")


class QueueModel(ApiModel):
    """A model that tasks of this queue may ask for."""

    name: ModelName = Field(description="Name that tasks ask for and endpoints list.")
    aliases: list[ModelName] = Field(default_factory=list, max_length=32, description="Other names for it.")
    description: str = Field("", max_length=1024, description="For people: what it is good at.")


class TaskQueueSpec(ApiModel):
    """A durable queue of model calls and the rules for them."""

    models: list[QueueModel] = Field(
        min_length=1, max_length=256, description="Models that tasks may ask for. A task for any other is refused."
    )
    default_model: ModelName | None = Field(
        None, description="Model of tasks that name none; the first of models when not set."
    )
    retry: Retry = Field(default_factory=Retry, description="What happens after a failed attempt.")
    task_timeout: Duration = Field(Duration("120s"), description="Longest time of one attempt.")
    lease_duration: Duration = Field(
        Duration("15s"), description="A worker silent for this long loses its tasks to others."
    )
    task_ttl: Duration = Field(
        Duration("24h"), alias="taskTTL", description="A task pending for longer than this expires."
    )
    limits: Limits = Field(default_factory=Limits, description="What the queue refuses to hold.")
    retention: Retention = Field(default_factory=Retention, description="How long finished tasks are kept.")
    stop_policy: StopPolicy = Field(
        StopPolicy.NONE,
        description="None: run. Hold: claim no new tasks. HoldAndDrain: also finish what runs and remove the workers.",
    )

    @property
    def default_lane(self) -> str:
        return self.default_model or self.models[0].name

    @property
    def offered(self) -> tuple[OfferedModel, ...]:
        return tuple(OfferedModel(model.name, tuple(model.aliases)) for model in self.models)

    @property
    def retry_policy(self) -> RetryPolicy:
        return RetryPolicy(
            max_attempts=self.retry.max_attempts,
            initial_delay=self.retry.initial_delay.seconds,
            max_delay=self.retry.max_delay.seconds,
            multiplier=self.retry.multiplier,
            jitter=self.retry.jitter,
        )


class TaskQueue(ApiModel):
    """One TaskQueue object, spec only; status is written as plain data (see ``status_schema``)."""

    api_version: Literal["taskfleet.dev/v1alpha1"]
    kind: Literal["TaskQueue"]
    metadata: ObjectMeta
    spec: TaskQueueSpec
    status: dict[str, Any] = Field(default_factory=dict)

    @property
    def key(self) -> QueueKey:
        return QueueKey(self.metadata.namespace, self.metadata.name)
