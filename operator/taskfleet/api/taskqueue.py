"""TaskQueue: the policy of a queue and what ``kubectl get tq`` shows of the tasks in it."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from taskfleet.api.base import BY_NAME, UNIQUE, ApiModel, Duration, ModelName, ObjectMeta, Size
from taskfleet.api.rules import TENANT_NAMES, Rule, duration_between, not_longer
from taskfleet.core.conversation import SessionContext
from taskfleet.core.errors import StoreSchemaMismatch
from taskfleet.core.models import OfferedModel
from taskfleet.core.pool import Execution, Online, StopPolicy
from taskfleet.core.retry import RetryPolicy
from taskfleet.core.settlement import QueuePolicy
from taskfleet.core.task import QueueKey

MAX_MODELS = 64
MAX_ALIASES = 16
MAX_FALLBACKS = 8
MAX_CHAIN = 8
# CEL has no recursion: each step leaves out the models none of whose fallbacks is left. After as many steps as a chain
# may be long, only those in a circle, or before one, are left.
_STEP = "left.filter(model, model.fallbacks.exists(name, left.exists(other, other.name == name)))"
_NO_CIRCLE = (
    "[self.models.filter(model, has(model.fallbacks))]"
    + f".map(left, {_STEP})" * MAX_CHAIN
    + ".all(left, left.size() == 0)"
)
MAX_TENANTS = 256
MAX_PARTITIONS = 64


class Retry(ApiModel):
    """How a failed attempt is repeated: exponential backoff with jitter."""

    rules = (
        not_longer(
            "initialDelay",
            "maxDelay",
            "maxDelay must not be below initialDelay; raise maxDelay or lower initialDelay",
        ),
    )

    max_attempts: int = Field(5, ge=1, le=100, description="Attempts in all, the first one included.")
    initial_delay: Annotated[Duration, duration_between("1ms", "1h", "1s")] = Field(
        Duration("1s"), description="Delay before the second attempt, a duration from 1ms to 1h."
    )
    max_delay: Annotated[Duration, duration_between("1ms", "24h", "60s")] = Field(
        Duration("60s"), description="No delay is longer than this, a duration from 1ms to 24h."
    )
    multiplier: float = Field(
        2.0, ge=1, le=10, description="Factor by which each delay exceeds the one before; 1 keeps them equal."
    )
    jitter: float = Field(0.2, ge=0, le=1, description="Share of a delay by which it is moved at random, either way.")


class Limits(ApiModel):
    """Back-pressure: what the queue refuses to hold."""

    max_pending: int = Field(
        1_000_000, ge=1, le=100_000_000, description="Tasks that may wait; a submission beyond is refused whole."
    )
    max_task_bytes: Annotated[
        Size,
        Rule(
            "string(self).matches('^[1-9][0-9]{0,7}(Ki|Mi)?$')"
            " && quantity(string(self)).compareTo(quantity('64Mi')) <= 0",
            "must be a size of at most 64Mi: a number of bytes, or a number with Ki or Mi, such as 512Ki",
        ),
    ] = Field(Size("1Mi"), description="Largest task as JSON: bytes, or a number with Ki or Mi; at most 64Mi.")


class Retention(ApiModel):
    """How long finished tasks are kept."""

    results: Annotated[Duration, duration_between("1s", "8760h", "24h")] = Field(
        Duration("24h"),
        description="Completed, cancelled and expired tasks and their results are kept for this long, "
        "a duration from 1s to 8760h (a year).",
    )
    failed: Annotated[Duration, duration_between("1s", "8760h", "168h")] = Field(
        Duration("168h"),
        description="Failed tasks (dead letters) are kept with their body and last error for this long, "
        "a duration from 1s to 8760h (a year).",
    )


class QueueModel(ApiModel):
    """A model that tasks of this queue may ask for."""

    name: ModelName = Field(description="Name that tasks ask for and endpoints list.")
    aliases: Annotated[list[ModelName], UNIQUE] = Field(
        default_factory=list, max_length=MAX_ALIASES, description="Other names for it."
    )
    tags: Annotated[list[ModelName], UNIQUE] = Field(
        default_factory=list,
        max_length=MAX_ALIASES,
        description="What it is good for, such as coding: a task may ask for a tag, and gets the first model with it.",
    )
    description: str = Field(
        "", max_length=1024, description="What it is good at. Tasks that ask for fast or coding find it by these words."
    )
    fallbacks: Annotated[list[ModelName], UNIQUE] = Field(
        default_factory=list,
        max_length=MAX_FALLBACKS,
        description="Models of this queue that serve its tasks while none of its endpoints is healthy: the first with "
        "a healthy endpoint, of these and then of their own fallbacks. A result says in model who answered, and in "
        "requested_model what was asked for.",
    )


class Tenant(ApiModel):
    """What one tenant gets of the queue."""

    weight: int = Field(
        1, ge=1, le=1000, description="Its share beside the other tenants that wait: 4 gets four times what 1 gets."
    )
    max_pending: int | None = Field(
        None,
        ge=1,
        le=100_000_000,
        description="Tasks that it may have waiting; a submission beyond is refused whole. No limit when not set.",
    )


class Sessions(ApiModel):
    """How the tasks of one session, which run one after another, know of each other."""

    context: SessionContext = Field(
        SessionContext.NONE,
        description="None: their order is all. Conversation: each call brings along what was asked and answered in the "
        "session before it.",
    )
    max_context_tokens: int = Field(
        4000,
        ge=1,
        le=10_000_000,
        description="With Conversation: estimated tokens of earlier turns in a call; the oldest are forgotten first.",
    )

    @property
    def context_tokens(self) -> int | None:
        return self.max_context_tokens if self.context is SessionContext.CONVERSATION else None


class TaskQueueSpec(ApiModel):
    """A durable queue of model calls and the rules for them."""

    rules = (
        Rule(
            "!has(self.defaultModel) || self.models.exists(model, model.name == self.defaultModel)",
            "defaultModel must be the name of one of models; add it to models or name one that is there",
            ".defaultModel",
        ),
        Rule(
            "self.models.all(model, !has(model.aliases) || model.aliases.all(alias,"
            " !self.models.exists(other, other.name == alias)))",
            "aliases must not repeat the name of a model; remove that alias",
            ".models",
        ),
        Rule(
            "self.models.all(model, !has(model.aliases) || model.aliases.all(alias,"
            " self.models.exists_one(other, has(other.aliases) && alias in other.aliases)))",
            "aliases must not give one alias to two models; remove it from one of them",
            ".models",
        ),
        Rule(
            "self.models.all(model, !has(model.fallbacks) || model.fallbacks.all(fallback,"
            " self.models.exists(other, other.name == fallback)))",
            "fallbacks must be names of models of this queue; add the model to models or remove it there",
            ".models",
        ),
        Rule(
            _NO_CIRCLE,
            f"fallbacks must not go in a circle, nor through more than {MAX_CHAIN} models; remove one of them",
            ".models",
        ),
        Rule(
            "self.execution != 'External' || self.online == 'Queue'",
            "online must be Queue when execution is External: nobody calls a model server then; remove one of them",
            ".online",
        ),
    )

    models: Annotated[list[QueueModel], BY_NAME] = Field(
        min_length=1,
        max_length=MAX_MODELS,
        description="Models that tasks may ask for. A task for any other is refused.",
    )
    default_model: ModelName | None = Field(
        None, description="Model of tasks that name none, one of models; the first of them when not set."
    )
    retry: Retry = Field(default_factory=Retry, description="What happens after a failed attempt.")
    task_timeout: Annotated[Duration, duration_between("100ms", "24h", "120s")] = Field(
        Duration("120s"), description="Longest time of one attempt, a duration from 100ms to 24h."
    )
    lease_duration: Annotated[Duration, duration_between("1s", "1h", "15s")] = Field(
        Duration("15s"),
        description="A worker silent for this long loses its tasks to others, a duration from 1s to 1h.",
    )
    task_ttl: Annotated[Duration, duration_between("1s", "8760h", "24h")] = Field(
        Duration("24h"),
        alias="taskTTL",
        description="A task pending for longer than this expires, a duration from 1s to 8760h (a year).",
    )
    limits: Limits = Field(default_factory=Limits, description="What the queue refuses to hold.")
    retention: Retention = Field(default_factory=Retention, description="How long finished tasks are kept.")
    tenants: Annotated[dict[str, Tenant], TENANT_NAMES] = Field(
        default_factory=dict,
        max_length=MAX_TENANTS,
        description="Shares and limits of tenants by name. The entry default holds for each tenant that has none of "
        "its own, and for tasks that name no tenant.",
    )
    sessions: Sessions = Field(default_factory=Sessions, description="How the tasks of one session know of each other.")
    stop_policy: StopPolicy = Field(
        StopPolicy.NONE,
        description="None: run. Hold: claim no new tasks. HoldAndDrain: also finish what runs and remove the workers.",
    )
    execution: Execution = Field(
        Execution.WORKERS,
        description="Workers: those of WorkerPools run the tasks. External: a person or an agent claims them with "
        "`taskfleet run` and ends them with `taskfleet complete` or `fail`; no pool has workers for this queue.",
    )
    online: Online = Field(
        Online.QUEUE,
        description="How a gateway serves those who wait for an answer. Queue: workers run their calls. Direct: the "
        "gateway calls the endpoints itself, under the same limits and accounting; workers run what it could not begin "
        "within 5s. Auto: as Queue while a worker is ready for the model, else as Direct. A gateway calls no endpoint "
        "that has a server in place of a url, nor one whose API key it was not given.",
    )
    partitions: Annotated[
        int,
        Rule(
            "self == oldSelf",
            "partitions cannot change, since tasks are found where their number of partitions puts them; set it back, "
            "or delete the queue when it is empty and make it anew",
        ),
    ] = Field(
        1,
        ge=1,
        le=MAX_PARTITIONS,
        description="Over how many places of a Valkey Cluster the tasks of this queue are spread, for a queue that is "
        "more than one of its nodes can serve. The tasks of one session stay together and in order. With more than 1, "
        "priority, first come first served and the shares of tenants hold inside a partition, and over the whole queue "
        "about: workers take from one partition after another. Cannot change while the queue exists.",
    )

    @property
    def default_lane(self) -> str:
        return self.default_model or self.models[0].name

    @property
    def offered(self) -> tuple[OfferedModel, ...]:
        return tuple(
            OfferedModel(model.name, tuple(model.aliases), tuple(model.tags), model.description)
            for model in self.models
        )

    @property
    def fallbacks(self) -> dict[str, list[str]]:
        """The fallbacks of each model that has any."""
        return {model.name: model.fallbacks for model in self.models if model.fallbacks}

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
    """One TaskQueue object. What the controller writes into ``status`` is a ``TaskQueueStatus``."""

    api_version: Literal["taskfleet.dev/v1alpha1"]
    kind: Literal["TaskQueue"]
    metadata: ObjectMeta
    spec: TaskQueueSpec
    status: dict[str, Any] = Field(default_factory=dict)

    @property
    def key(self) -> QueueKey:
        return QueueKey(self.metadata.namespace, self.metadata.name)


def published_spec(policy: QueuePolicy, queue: QueueKey) -> TaskQueueSpec:
    """The spec in a policy that the store holds. Raises StoreSchemaMismatch for one that this version does not know."""
    try:
        return TaskQueueSpec.model_validate(policy.spec)
    except ValidationError as error:
        raise StoreSchemaMismatch(f"the policy of queue {queue} was written by another version: {error}") from error
