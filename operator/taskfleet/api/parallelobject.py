"""The custom resource ParallelQueue: a parallel queue that the controller runs, and where it gets its inputs.

Its items are called ``items``: kubectl reads a bare ``on`` as ``true``, also as the name of a field.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from taskfleet.api.base import ApiModel, Name, ObjectMeta
from taskfleet.api.parallelqueue import ParallelQueueSpec
from taskfleet.api.rules import INPUT_NAMES, SUBDOMAIN, Rule
from taskfleet.core.task import QueueKey

MAX_SOURCES = 32


class ConfigMapKey(ApiModel):
    """A value of a ConfigMap in the same namespace."""

    name: Annotated[str, SUBDOMAIN] = Field(max_length=253, description="Name of the ConfigMap.")
    key: str = Field(
        pattern=r"^[-._a-zA-Z0-9]+$",
        max_length=253,
        description="Key in its data. What ends with .json is a value of any kind, with .jsonl or .csv a list of rows, "
        "anything else a text.",
    )


class EarlierQueue(ApiModel):
    """A ParallelQueue of the same namespace, which must have completed."""

    name: Name = Field(description="Name of the ParallelQueue.")


class InputSource(ApiModel):
    """Where the value of an input comes from."""

    rules = (
        Rule(
            "has(self.configMap) != has(self.parallelQueue)",
            "an input comes from one place; give configMap or parallelQueue",
        ),
    )

    config_map: ConfigMapKey | None = Field(None, description="A value of a ConfigMap, as it is when the run begins.")
    parallel_queue: EarlierQueue | None = Field(
        None,
        description="An earlier ParallelQueue, which is waited for: its results, outputs and counts.",
    )


class ParallelQueueObjectSpec(ParallelQueueSpec):
    """Takes each of many items through steps, so many at once, on one TaskQueue."""

    rules = (
        Rule("has(self.queueRef)", "queueRef must name the TaskQueue on which the steps run; add it", ".queueRef"),
    )

    inputs_from: Annotated[dict[str, InputSource], INPUT_NAMES] = Field(
        {}, max_length=MAX_SOURCES, description="More inputs, by name: values that are read when the run begins."
    )

    def of_run(self) -> ParallelQueueSpec:
        """What is run, once the inputs are there."""
        return ParallelQueueSpec.model_construct(
            **{name: getattr(self, name) for name in ParallelQueueSpec.model_fields}
        )


class ParallelQueue(ApiModel):
    """One ParallelQueue object. What the controller writes into ``status`` is a ``ParallelQueueStatus``."""

    rules = (
        Rule(
            "!has(oldSelf.status) || !has(oldSelf.status.startTime) || self.spec == oldSelf.spec",
            "spec cannot change once the run has begun; delete the ParallelQueue and apply it anew, or give the new "
            "one another name",
            ".spec",
        ),
    )

    api_version: Literal["taskfleet.dev/v1alpha1"]
    kind: Literal["ParallelQueue"]
    metadata: ObjectMeta
    spec: ParallelQueueObjectSpec
    status: dict[str, Any] = Field(default_factory=dict)

    @property
    def queue(self) -> QueueKey:
        """The key of the TaskQueue on which it runs, which may not exist. The API server sees that it is named."""
        assert self.spec.queue_ref is not None
        return QueueKey(self.metadata.namespace, self.spec.queue_ref.name)
