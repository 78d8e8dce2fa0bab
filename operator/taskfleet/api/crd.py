"""The CustomResourceDefinitions, built from the models: the only source of ``crds/``."""

from typing import Any

from taskfleet.api.base import ApiModel
from taskfleet.api.parallelobject import ParallelQueue, ParallelQueueObjectSpec
from taskfleet.api.rules import KEYWORD, Rule
from taskfleet.api.status import ParallelQueueStatus, TaskQueueStatus, WorkerPoolStatus
from taskfleet.api.structural import Schema, structural_schema
from taskfleet.api.taskqueue import TaskQueue, TaskQueueSpec
from taskfleet.api.workerpool import WorkerPool, WorkerPoolSpec
from taskfleet.core.names import GROUP, MAX_LABEL, VERSION

_FITTING_NAME = Rule(
    f"self.metadata.name.matches('^[^.]{{0,{MAX_LABEL}}}$')",
    f"name must be at most {MAX_LABEL} characters without dots, since other objects carry it as a label; "
    "choose another name",
    ".metadata.name",
)


def build() -> dict[str, dict[str, Any]]:
    """The CustomResourceDefinitions by kind, as plain data."""
    return {
        "TaskQueue": _definition(
            TaskQueue,
            TaskQueueSpec,
            TaskQueueStatus,
            short_name="tq",
            columns=[
                _column("Pending", "integer", ".status.pending", "Tasks that wait for a worker."),
                _column("Running", "integer", ".status.running", "Tasks in the hands of workers."),
                _column("Failed", "integer", ".status.failed", "Failed tasks that are kept (dead letters)."),
                _column("Oldest", "date", ".status.oldestPendingTime", "How long the oldest pending task has waited."),
                _ready_column(),
                _reason_column(priority=1),
                _age_column(),
            ],
        ),
        "WorkerPool": _definition(
            WorkerPool,
            WorkerPoolSpec,
            WorkerPoolStatus,
            short_name="wp",
            columns=[
                _column("Queue", "string", ".spec.queueRef.name", "The TaskQueue that the pool serves."),
                _column("Mode", "string", ".spec.autoscaling.mode", "Who decides on the number of workers."),
                _column("Desired", "integer", ".status.desiredReplicas", "Workers that the last plan asked for."),
                _column("Ready", "integer", ".status.readyReplicas", "Workers that are ready to take tasks."),
                _reason_column(priority=0),
                _age_column(),
            ],
            scale={
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        ),
        "ParallelQueue": _definition(
            ParallelQueue,
            ParallelQueueObjectSpec,
            ParallelQueueStatus,
            short_name="pq",
            columns=[
                _column("Queue", "string", ".spec.queueRef.name", "The TaskQueue on which it runs."),
                _column("Phase", "string", ".status.phase", "Where it is, or how it ended."),
                _column("Done", "string", ".status.progress", "Items that have ended, of how many."),
                _column("Open", "integer", ".status.open", "Items that are on their way."),
                _column("Failed", "integer", ".status.failed", "Items that failed."),
                _reason_column(priority=0),
                _age_column(),
            ],
        ),
    }


def _definition(
    resource: type[ApiModel],
    spec: type[ApiModel],
    status: type[ApiModel],
    *,
    short_name: str,
    columns: list[dict[str, Any]],
    scale: dict[str, str] | None = None,
) -> dict[str, Any]:
    kind = resource.__name__
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short_name],
                "categories": ["taskfleet"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}, **({"scale": scale} if scale else {})},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": _root_schema(resource, spec, status)},
                }
            ],
        },
    }


def _root_schema(resource: type[ApiModel], spec: type[ApiModel], status: type[ApiModel]) -> Schema:
    spec_schema = structural_schema(spec, defaults=True)
    return {
        "description": spec_schema["description"],
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "taskfleet.dev/v1alpha1"},
            "kind": {"type": "string", "description": "The kind of the object."},
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": spec_schema,
            "status": structural_schema(status, defaults=False),
        },
        KEYWORD: [rule.to_wire() for rule in (_FITTING_NAME, *resource.rules)],
    }


def _column(name: str, kind: str, path: str, description: str, priority: int = 0) -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": path, "description": description, "priority": priority}


def _ready_column() -> dict[str, Any]:
    path = '.status.conditions[?(@.type=="Ready")].status'
    return _column("Ready", "string", path, "Whether all is as it should be.")


def _reason_column(priority: int) -> dict[str, Any]:
    path = '.status.conditions[?(@.type=="Ready")].reason'
    return _column("Reason", "string", path, "Why it is ready or not.", priority)


def _age_column() -> dict[str, Any]:
    return _column("Age", "date", ".metadata.creationTimestamp", "Time since it was created.")
