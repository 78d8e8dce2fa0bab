"""The kinds of objects that Taskfleet touches, and their addresses in the API."""

from dataclasses import dataclass

from taskfleet.core.names import API_VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """A namespaced kind: ``api_version`` and ``kind`` as in a manifest, ``plural`` as in a URL."""

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The URL path of an object or, without ``name``, of the list; without ``namespace``, of all namespaces."""
        root = "apis" if "/" in self.api_version else "api"
        parts = ["", root, self.api_version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


TASK_QUEUES = Resource(API_VERSION, "TaskQueue", "taskqueues")
WORKER_POOLS = Resource(API_VERSION, "WorkerPool", "workerpools")
PARALLEL_QUEUES = Resource(API_VERSION, "ParallelQueue", "parallelqueues")
DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")
AUTOSCALERS = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
SERVICES = Resource("v1", "Service", "services")
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
PODS = Resource("v1", "Pod", "pods")
SECRETS = Resource("v1", "Secret", "secrets")
EVENTS = Resource("events.k8s.io/v1", "Event", "events")
LEASES = Resource("coordination.k8s.io/v1", "Lease", "leases")
