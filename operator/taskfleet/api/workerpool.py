"""WorkerPool: the endpoints that serve one queue, and how many workers each has."""

from typing import Annotated, Any, Literal

from pydantic import Field

from taskfleet.api.base import BY_NAME, ApiModel, Duration, Name, ObjectMeta
from taskfleet.api.discovery import Discovery
from taskfleet.api.endpoint import Endpoint
from taskfleet.api.rules import Rule, duration_between, is_duration, not_longer
from taskfleet.api.workertemplate import WorkerTemplate
from taskfleet.core.pool import AutoscalingMode, EndpointPolicy, PoolPolicy, Strategy
from taskfleet.core.scaling import Patience, ScalingTarget
from taskfleet.core.task import QueueKey

MAX_ENDPOINTS = 100


class QueueRef(ApiModel):
    """The TaskQueue that the pool serves, in the pool's namespace."""

    name: Name = Field(description="Name of the TaskQueue.")


class Autoscaling(ApiModel):
    """How many workers the pool has."""

    rules = (
        Rule(
            "self.minWorkers <= self.maxWorkers",
            "minWorkers must not exceed maxWorkers; lower minWorkers or raise maxWorkers",
        ),
        Rule(
            "!(has(self.targetDrainTime) && has(self.targetBacklogPerWorker))",
            "targetDrainTime and targetBacklogPerWorker must not both be set; remove one of them",
        ),
        Rule(
            f"self.mode != 'HPA' || !({is_duration('self.scaleDownDelay')})"
            " || duration(self.scaleDownDelay) <= duration('1h')",
            "scaleDownDelay must be at most 1h when mode is HPA, which knows no longer one; lower it",
            ".scaleDownDelay",
        ),
    )

    mode: AutoscalingMode = Field(
        AutoscalingMode.OPERATOR,
        description="Who decides. Operator: the controller, by the backlog. HPA: a HorizontalPodAutoscaler that the "
        "controller owns, by the same numbers; the controller wakes the pool from zero and lets it go back. External: "
        "whoever writes spec.replicas through /scale.",
    )
    min_workers: int = Field(0, ge=0, le=1000, description="Workers kept even when nothing waits.")
    max_workers: int = Field(10, ge=1, le=1000, description="Most workers of the pool, over all endpoints.")
    target_drain_time: Annotated[Duration, duration_between("1s", "24h", "60s")] | None = Field(
        None,
        description="Enough workers to finish the backlog in this time, a duration from 1s to 24h; "
        "60s when neither target is set.",
    )
    target_backlog_per_worker: int | None = Field(
        None, ge=1, le=1_000_000, description="Instead of a time: waiting and running tasks for each worker."
    )
    scale_down_delay: Annotated[Duration, duration_between("0s", "24h", "60s")] = Field(
        Duration("60s"), description="A smaller need must last this long, a duration from 0s to 24h."
    )
    scale_to_zero_delay: Annotated[Duration, duration_between("0s", "24h", "120s")] = Field(
        Duration("120s"), description="Idle this long before the last worker goes, a duration from 0s to 24h."
    )


class HealthCheck(ApiModel):
    """How the controller asks an endpoint whether it is there: GET, any answer below 500 counts."""

    rules = (not_longer("timeout", "interval", "timeout must not exceed interval; lower timeout or raise interval"),)

    path: Annotated[
        str,
        Rule("self.matches('^/[!-~]*$')", "must begin with / and have no spaces, such as /models"),
    ] = Field("/models", max_length=1024, description="Appended to the endpoint's URL.")
    interval: Annotated[Duration, duration_between("100ms", "1h", "10s")] = Field(
        Duration("10s"), description="Between two probes, a duration from 100ms to 1h."
    )
    timeout: Annotated[Duration, duration_between("10ms", "5m", "3s")] = Field(
        Duration("3s"), description="No answer within this is a failure, a duration from 10ms to 5m."
    )
    failure_threshold: int = Field(3, ge=1, le=100, description="Failures in a row until it is not healthy.")


class WorkerPoolSpec(ApiModel):
    """The endpoints that serve one queue."""

    rules = (
        Rule(
            "self.endpoints.size() > 0 || has(self.discovery)",
            "endpoints must have at least one model server; list one, or set discovery to find them by their Services",
            ".endpoints",
        ),
        Rule(
            "!has(self.replicas) || self.autoscaling.mode != 'Operator'",
            "replicas counts only when autoscaling.mode is External or HPA; set one of these or remove replicas",
            ".replicas",
            # A change of the mode alone must be possible: the controller then takes the number away.
            unless_kept="has(old.replicas) && old.replicas == self.replicas",
        ),
        Rule(
            "has(self.discovery) || self.autoscaling.minWorkers > self.autoscaling.maxWorkers"
            " || self.autoscaling.minWorkers <= self.endpoints.map(endpoint, endpoint.maxWorkers).sum()",
            "minWorkers must not exceed the maxWorkers of all endpoints together; lower it or raise theirs",
            ".autoscaling.minWorkers",
        ),
        Rule(
            "self.strategy == 'Weighted' || self.endpoints.all(endpoint, !has(endpoint.weight))",
            "weight counts only when strategy is Weighted; set that strategy or remove the weights",
            ".strategy",
        ),
        Rule(
            "self.strategy != 'Cheapest' || !has(self.discovery)",
            "strategy Cheapest needs costPerMillionTokens on every endpoint, and discovery has none; list the "
            "endpoints, or choose another strategy",
            ".strategy",
        ),
        Rule(
            "self.strategy != 'Cheapest' || self.endpoints.all(endpoint, has(endpoint.costPerMillionTokens))",
            "strategy Cheapest needs costPerMillionTokens on every endpoint; add it, or choose another strategy",
            ".strategy",
        ),
    )

    queue_ref: QueueRef = Field(description="The queue to serve.")
    strategy: Strategy = Field(
        Strategy.LEAST_LOADED,
        description="Which endpoint gets the next worker. LeastLoaded: by what each can run at once. RoundRobin: in "
        "turn. Weighted: by weight. Fastest, Cheapest: the fastest or the cheapest first, each until it has all of its "
        "workers.",
    )
    endpoints: Annotated[list[Endpoint], BY_NAME] = Field(
        [], max_length=MAX_ENDPOINTS, description="Model servers, one Deployment each."
    )
    discovery: Discovery | None = Field(
        None,
        description="Services of the namespace that are endpoints too, for as long as they are there; needs a cluster. "
        f"At most {MAX_ENDPOINTS} endpoints in all; the condition ServicesFound says which Services cannot be used.",
    )
    replicas: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="Workers in the modes External and HPA, written through /scale by a person or an autoscaler. In "
        "mode Operator the controller takes it away.",
    )
    autoscaling: Autoscaling = Field(default_factory=Autoscaling, description="How many workers there are.")
    health_check: HealthCheck = Field(default_factory=HealthCheck, description="How endpoints are probed.")
    worker_template: WorkerTemplate = Field(default_factory=WorkerTemplate, description="Settings of worker pods.")

    @property
    def policy(self) -> PoolPolicy:
        """The part that planning needs."""
        scaling = self.autoscaling
        drain = scaling.target_drain_time.seconds if scaling.target_drain_time else 60.0
        return PoolPolicy(
            endpoints=tuple(
                EndpointPolicy(
                    name=endpoint.name,
                    models=frozenset(endpoint.models),
                    concurrency=endpoint.concurrency,
                    max_workers=endpoint.max_workers,
                    weight=endpoint.weight or 1,
                    cost=sum(endpoint.prices),
                    limits=endpoint.limits,
                )
                for endpoint in self.endpoints
            ),
            min_workers=scaling.min_workers,
            max_workers=scaling.max_workers,
            target=ScalingTarget(drain, scaling.target_backlog_per_worker),
            patience=Patience(scaling.scale_down_delay.seconds, scaling.scale_to_zero_delay.seconds),
            strategy=self.strategy,
            mode=scaling.mode,
            replicas=self.replicas,
        )


class WorkerPool(ApiModel):
    """One WorkerPool object. What the controller writes into ``status`` is a ``WorkerPoolStatus``."""

    api_version: Literal["taskfleet.dev/v1alpha1"]
    kind: Literal["WorkerPool"]
    metadata: ObjectMeta
    spec: WorkerPoolSpec
    status: dict[str, Any] = Field(default_factory=dict)

    @property
    def queue(self) -> QueueKey:
        return QueueKey(self.metadata.namespace, self.spec.queue_ref.name)
