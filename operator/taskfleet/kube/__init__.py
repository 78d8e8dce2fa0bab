"""A thin asyncio client of the Kubernetes API: the few calls that Taskfleet makes, and its errors in words."""

from taskfleet.kube.client import KubeClient
from taskfleet.kube.errors import (
    KubeConflict,
    KubeError,
    KubeForbidden,
    KubeLoginFailed,
    KubeNotFound,
    KubeRefused,
    KubeThrottled,
    KubeUnauthorized,
    KubeUnavailable,
    KubeUnreachable,
)
from taskfleet.kube.login import load_login
from taskfleet.kube.resources import (
    AUTOSCALERS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    PARALLEL_QUEUES,
    PODS,
    SECRETS,
    SERVICES,
    TASK_QUEUES,
    WORKER_POOLS,
    Resource,
)

__all__ = [
    "AUTOSCALERS",
    "CONFIG_MAPS",
    "DEPLOYMENTS",
    "EVENTS",
    "LEASES",
    "PARALLEL_QUEUES",
    "PODS",
    "SECRETS",
    "SERVICES",
    "TASK_QUEUES",
    "WORKER_POOLS",
    "KubeClient",
    "KubeConflict",
    "KubeError",
    "KubeForbidden",
    "KubeLoginFailed",
    "KubeNotFound",
    "KubeRefused",
    "KubeThrottled",
    "KubeUnauthorized",
    "KubeUnavailable",
    "KubeUnreachable",
    "Resource",
    "load_login",
]
