"""Names and labels of the objects that Taskfleet makes, short enough for Kubernetes and never colliding."""

import hashlib

GROUP = "taskfleet.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "taskfleet"
FINALIZER = f"{GROUP}/drain"
DISCARD_ANNOTATION = f"{GROUP}/discard-tasks"

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_NAME = "app.kubernetes.io/name"
LABEL_POOL = f"{GROUP}/pool"
LABEL_ENDPOINT = f"{GROUP}/endpoint"

METRIC_NEEDED_WORKERS = "taskfleet_pool_needed_workers"
"""The external metric that HPAs follow: of a pool, the workers that what waits and runs can use."""
METRIC_LABEL_POOL, METRIC_LABEL_QUEUE = "pool", "queue"

MAX_LABEL = 63
# A pod adds "-" + 10 characters of ReplicaSet hash + "-" + 5 of its own to its Deployment's name,
# and its name becomes a host name and a label value: 63 in all.
MAX_DEPLOYMENT_NAME = 46
_HASH_LENGTH = 8


def deployment_name(pool: str, endpoint: str) -> str:
    """The Deployment of one endpoint of one pool: ``POOL-ENDPOINT-HASH``, cut to fit.

    The hash covers both whole names, so that ``a`` + ``b-c`` and ``a-b`` + ``c`` differ, as do two long
    names that share a beginning.
    """
    digest = hashlib.sha256(f"{pool}/{endpoint}".encode()).hexdigest()[:_HASH_LENGTH]
    room = MAX_DEPLOYMENT_NAME - _HASH_LENGTH - 1
    readable = f"{pool}-{endpoint}"[:room].rstrip("-.")
    return f"{readable}-{digest}"


def store_secret_name(pool: str) -> str:
    """The Secret beside a pool that holds the store's URL for its workers."""
    return deployment_name(pool, "store")


def autoscaler_name(pool: str) -> str:
    """The HorizontalPodAutoscaler of a pool in mode HPA."""
    return deployment_name(pool, "hpa")


def label_value(text: str) -> str:
    """``text`` as a label value: itself when it fits, else its beginning and a hash."""
    if len(text) <= MAX_LABEL:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{text[: MAX_LABEL - _HASH_LENGTH - 1].rstrip('-._')}-{digest}"


def worker_labels(pool: str, endpoint: str) -> dict[str, str]:
    """Labels of a worker pod and its Deployment; also the Deployment's immutable selector."""
    return {
        LABEL_NAME: "taskfleet-worker",
        LABEL_POOL: label_value(pool),
        LABEL_ENDPOINT: label_value(endpoint),
    }


def endpoint_selector(pool: str, endpoint: str) -> str:
    """The string selector of the worker pods of one endpoint."""
    return ",".join(f"{key}={value}" for key, value in worker_labels(pool, endpoint).items())


def pool_selector(pool: str) -> str:
    """The string selector of all worker pods of a pool, for the ``/scale`` subresource."""
    return f"{LABEL_NAME}=taskfleet-worker,{LABEL_POOL}={label_value(pool)}"
