"""WorkerPool: the endpoints that serve one queue, and how many workers each has."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from taskfleet.api.base import ApiModel, Duration, ModelName, Name, ObjectMeta
from taskfleet.core.plan import EndpointPolicy, PoolPolicy
from taskfleet.core.scaling import Patience, ScalingTarget
from taskfleet.core.task import QueueKey


class Provider(StrEnum):
    """The protocol that an endpoint speaks."""

    OPENAI = "openai"


class AutoscalingMode(StrEnum):
    OPERATOR = "Operator"
    EXTERNAL = "External"


class QueueRef(ApiModel):
    """The TaskQueue that the pool serves, in the pool's namespace."""

    name: Name = Field(description="Name of the TaskQueue.")


class SecretKeyRef(ApiModel):
    """One key of a Secret in the pool's namespace."""

    name: str = Field(min_length=1, max_length=253, description="Name of the Secret.")
    key: str = Field(min_length=1, max_length=253, description="Key in it.")


class Endpoint(ApiModel):
    """One model server or API. Its workers are one Deployment."""

    name: Name = Field(max_length=40, description="Unique in the pool; part of the Deployment's name.")
    provider: Provider = Field(
        Provider.OPENAI, description="Protocol: openai fits vLLM, llama.cpp, Ollama's /v1 and OpenAI."
    )
    url: str = Field(
        max_length=2048, pattern=r"^https?://[^\s/?#]+", description="Base URL, such as http://vllm:8000/v1."
    )
    models: list[ModelName] = Field(
        min_length=1, max_length=64, description="The queue's model names that this endpoint serves."
    )
    remote_names: dict[str, str] = Field(
        default_factory=dict, description="What the server calls a model, where it differs from the queue's name."
    )
    concurrency: int = Field(4, ge=1, le=1024, description="Calls at once in one worker.")
    max_workers: int = Field(10, ge=1, le=1000, description="Most workers of this endpoint.")
    api_key_secret_ref: SecretKeyRef | None = Field(None, description="API key sent as a bearer token.")


class Autoscaling(ApiModel):
    """How many workers the pool has."""

    mode: AutoscalingMode = Field(
        AutoscalingMode.OPERATOR, description="Operator: from the backlog. External: spec.replicas, through /scale."
    )
    min_workers: int = Field(0, ge=0, le=1000, description="Workers kept even when nothing waits.")
    max_workers: int = Field(10, ge=1, le=1000, description="Most workers of the pool, over all endpoints.")
    target_drain_time: Duration | None = Field(
        None, description="Enough workers to finish the backlog in this time; 60s when neither target is set."
    )
    target_backlog_per_worker: int | None = Field(
        None, ge=1, le=1_000_000, description="Instead of a time: waiting and running tasks for each worker."
    )
    scale_down_delay: Duration = Field(Duration("60s"), description="A smaller need must last this long.")
    scale_to_zero_delay: Duration = Field(Duration("120s"), description="Idle this long before the last worker goes.")


class HealthCheck(ApiModel):
    """How the controller asks an endpoint whether it is there: GET, any answer below 500 counts."""

    path: str = Field("/models", max_length=1024, pattern=r"^/\S*$", description="Appended to the endpoint's URL.")
    interval: Duration = Field(Duration("10s"), description="Between two probes.")
    timeout: Duration = Field(Duration("3s"), description="No answer within this is a failure.")
    failure_threshold: int = Field(3, ge=1, le=100, description="Failures in a row until it is not healthy.")


class EnvVar(ApiModel):
    """A plain environment variable; secrets belong into apiKeySecretRef."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128, description="Name of the variable.")
    value: str = Field("", max_length=8192, description="Its value, not a secret.")


class Resources(ApiModel):
    """Compute resources of one worker pod, as in a container."""

    requests: dict[str, str] = Field(default_factory=dict, description="What a pod reserves, such as cpu: 100m.")
    limits: dict[str, str] = Field(default_factory=dict, description="What a pod may use, such as memory: 256Mi.")


class Toleration(ApiModel):
    """A taint that worker pods tolerate."""

    key: str | None = Field(None, max_length=316, description="Taint key; none means every key.")
    operator: Literal["Exists", "Equal"] = Field("Equal", description="How key and value are compared.")
    value: str | None = Field(None, max_length=63, description="Taint value.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(None, description="Effect to match.")


class WorkerTemplate(ApiModel):
    """Settings of the worker pods. On a laptop only env and terminationGracePeriod apply."""

    image: str | None = Field(None, max_length=512, description="Worker image; the controller's own when not set.")
    resources: Resources = Field(default_factory=Resources, description="Compute resources of a pod.")
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels that a node must have.")
    tolerations: list[Toleration] = Field(default_factory=list, max_length=32, description="Tolerated taints.")
    env: list[EnvVar] = Field(default_factory=list, max_length=64, description="More environment variables.")
    service_account_name: str | None = Field(None, max_length=253, description="Service account of the pods.")
    labels: dict[str, str] = Field(default_factory=dict, description="More labels on the pods.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations on the pods.")
    termination_grace_period: Duration = Field(
        Duration("60s"), description="Time to finish running calls after SIGTERM; the rest is handed back."
    )


class WorkerPoolSpec(ApiModel):
    """The endpoints that serve one queue."""

    queue_ref: QueueRef = Field(description="The queue to serve.")
    endpoints: list[Endpoint] = Field(min_length=1, max_length=100, description="Model servers, one Deployment each.")
    replicas: int | None = Field(
        None, ge=0, le=1000, description="Workers in mode External, written through /scale by a person or autoscaler."
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
                EndpointPolicy(endpoint.name, frozenset(endpoint.models), endpoint.concurrency, endpoint.max_workers)
                for endpoint in self.endpoints
            ),
            min_workers=scaling.min_workers,
            max_workers=scaling.max_workers,
            target=ScalingTarget(
                None if scaling.target_backlog_per_worker else drain, scaling.target_backlog_per_worker
            ),
            patience=Patience(scaling.scale_down_delay.seconds, scaling.scale_to_zero_delay.seconds),
            fixed_workers=(self.replicas or 0) if scaling.mode is AutoscalingMode.EXTERNAL else None,
        )


class WorkerPool(ApiModel):
    """One WorkerPool object, spec only; status is written as plain data."""

    api_version: Literal["taskfleet.dev/v1alpha1"]
    kind: Literal["WorkerPool"]
    metadata: ObjectMeta
    spec: WorkerPoolSpec
    status: dict[str, Any] = Field(default_factory=dict)

    @property
    def queue(self) -> QueueKey:
        return QueueKey(self.metadata.namespace, self.spec.queue_ref.name)
