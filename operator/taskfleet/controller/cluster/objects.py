"""The objects behind a pool, as plain dicts: one Deployment for each endpoint and one Secret. No I/O."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.modelserver import WORKER_PORT
from taskfleet.api.workerpool import WorkerPool
from taskfleet.api.workertemplate import Resources, WorkerTemplate
from taskfleet.controller.cluster.sidecar import server_container, server_volumes
from taskfleet.controller.cluster.toolvolumes import tool_mounts, tool_volumes
from taskfleet.core.names import (
    API_VERSION,
    FIELD_MANAGER,
    GROUP,
    LABEL_MANAGED_BY,
    deployment_name,
    store_secret_name,
    worker_labels,
)

Object = dict[str, Any]

STORE_SECRET_KEY = "url"
STORE_ANNOTATION = f"{GROUP}/store"
LABEL_STORE_ACCESS = f"{GROUP}/store-access"
"""Pods with this label may reach the store: the NetworkPolicy of the installation selects it."""

# Room to spare for a worker of ordinary concurrency. A pool that says anything about resources says it all: half of
# ours beside half of theirs could ask for more than it allows.
_DEFAULT_RESOURCES = {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}

# The image's own, see the Dockerfile.
WORKER_GROUP = 65532
# After its grace period a worker hands its tasks back; Kubernetes must let it.
_HAND_BACK_SECONDS = 5


@dataclass(frozen=True, slots=True)
class WorkerDefaults:
    """What the installation gives to all workers: their image when a pool names none, and the store's URL."""

    image: str
    store_url: str


def store_secret(pool: WorkerPool, defaults: WorkerDefaults) -> Object:
    """The Secret beside a pool with the store's URL, which may hold a password and so stays out of the Deployment."""
    meta = {
        "name": store_secret_name(pool.metadata.name),
        "namespace": pool.metadata.namespace,
        "labels": {LABEL_MANAGED_BY: FIELD_MANAGER},
        "ownerReferences": [owner_of(pool)],
    }
    return {"metadata": meta, "type": "Opaque", "stringData": {STORE_SECRET_KEY: defaults.store_url}}


def worker_deployment(
    pool: WorkerPool,
    endpoint: Endpoint,
    replicas: int,
    *,
    environment: Mapping[str, str],
    defaults: WorkerDefaults,
) -> Object:
    """The Deployment of one endpoint with ``replicas`` workers. ``environment`` is what a worker reads, no secrets."""
    labels = worker_labels(pool.metadata.name, endpoint.name)
    return {
        "metadata": {
            "name": deployment_name(pool.metadata.name, endpoint.name),
            "namespace": pool.metadata.namespace,
            "labels": {**labels, LABEL_MANAGED_BY: FIELD_MANAGER},
            "ownerReferences": [owner_of(pool)],
        },
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": labels},
            # No surge: an update must not run more workers than the endpoint's limits allow. Nobody waits for a
            # worker that is going (it hands its tasks back), and three quarters keep working if the new ones fail.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "25%"}},
            "template": _pod(pool, endpoint, labels, environment, defaults),
        },
    }


def digest(manifest: Object) -> str:
    """A fingerprint of a manifest: equal for equal content."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def owner_of(pool: WorkerPool) -> Object:
    """The reference by which an object goes with its pool."""
    # No blockOwnerDeletion: it would need a right on the pool's finalizers on clusters that check for it, and
    # nothing needs the pool to outlive its workers.
    return {
        "apiVersion": API_VERSION,
        "kind": "WorkerPool",
        "name": pool.metadata.name,
        "uid": pool.metadata.uid,
        "controller": True,
    }


def _pod(
    pool: WorkerPool,
    endpoint: Endpoint,
    labels: Mapping[str, str],
    environment: Mapping[str, str],
    defaults: WorkerDefaults,
) -> Object:
    template = pool.spec.worker_template
    spec: Object = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": round(template.termination_grace_period.seconds) + _HAND_BACK_SECONDS,
        "securityContext": _security(template),
        "containers": [_container(pool, endpoint, environment, defaults)],
    }
    if endpoint.server:
        spec["initContainers"] = [server_container(endpoint, endpoint.server)]
        spec["volumes"] = server_volumes(endpoint.server)
        if endpoint.server.run_as_user:
            spec["securityContext"]["fsGroup"] = endpoint.server.run_as_user  # or it could not write to a claim
    if volumes := tool_volumes(endpoint):
        spec["volumes"] = volumes
        spec["securityContext"]["fsGroup"] = WORKER_GROUP  # or it could not write to a claim
    if template.node_selector:
        spec["nodeSelector"] = dict(template.node_selector)
    if template.tolerations:
        spec["tolerations"] = [toleration.to_wire() for toleration in template.tolerations]
    if template.service_account_name:
        spec["serviceAccountName"] = template.service_account_name
    return {
        "metadata": {
            "labels": {**template.labels, **labels, LABEL_MANAGED_BY: FIELD_MANAGER, LABEL_STORE_ACCESS: "true"},
            # A worker reads the store's URL when it starts: another URL must start other workers.
            "annotations": {**template.annotations, STORE_ANNOTATION: _salted(defaults.store_url, pool)},
        },
        "spec": spec,
    }


def _container(
    pool: WorkerPool, endpoint: Endpoint, environment: Mapping[str, str], defaults: WorkerDefaults
) -> Object:
    template = pool.spec.worker_template
    mounts = tool_mounts(endpoint)
    return {
        **({"volumeMounts": mounts} if mounts else {}),
        "name": "worker",
        "image": template.image or defaults.image,
        "args": ["worker"],
        # The kernel keeps a signal from a container that has just been started and has no process of ours yet: one that
        # is told to go at that moment would stay, and work, until it is killed at the end of its grace period.
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        "env": _environment(pool, endpoint, environment),
        "ports": [{"name": "http", "containerPort": WORKER_PORT, "protocol": "TCP"}],
        # A cold interpreter on a busy node takes a while; after that a deaf event loop is noticed within a minute.
        "startupProbe": _probe("/healthz", period=1, failures=120),
        "livenessProbe": _probe("/healthz", period=20, failures=3),
        "readinessProbe": _probe("/readyz", period=5, failures=2),
        "resources": _resources(template.resources),
        # The last lines of its log become the pod's status, and from there the pool's.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def _security(template: WorkerTemplate) -> Object:
    chosen = template.seccomp_profile
    security: Object = {
        "runAsNonRoot": True,
        "seccompProfile": chosen.to_wire() if chosen else {"type": "RuntimeDefault"},
    }
    if template.app_armor_profile:
        security["appArmorProfile"] = template.app_armor_profile.to_wire()
    return security


def _resources(chosen: Resources) -> Object:
    return chosen.to_wire() if chosen.requests or chosen.limits else _DEFAULT_RESOURCES


def _environment(pool: WorkerPool, endpoint: Endpoint, environment: Mapping[str, str]) -> list[Object]:
    """The user's variables first: ours, named later, win over one of the same name."""
    ours: dict[str, Object] = {name: {"value": value} for name, value in environment.items()}
    ours["TASKFLEET_WORKER"] = {"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    ours["TASKFLEET_PORT"] = {"value": str(WORKER_PORT)}
    ours["TASKFLEET_STORE_URL"] = _from_secret(store_secret_name(pool.metadata.name), STORE_SECRET_KEY)
    if endpoint.api_key_secret_ref:
        reference = endpoint.api_key_secret_ref
        ours["TASKFLEET_API_KEY"] = _from_secret(reference.name, reference.key)
    theirs: dict[str, Object] = {variable.name: {"value": variable.value} for variable in pool.spec.worker_template.env}
    # Each name once: server-side apply refuses a list with two entries of one key.
    return [{"name": name, **source} for name, source in {**theirs, **ours}.items()]


def _from_secret(name: str, key: str) -> Object:
    return {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def _probe(path: str, *, period: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _salted(url: str, pool: WorkerPool) -> str:
    """Changes when the URL does and tells nothing about it: cut short, and salted against looking it up."""
    return hashlib.sha256(f"{pool.metadata.uid}/{url}".encode()).hexdigest()[:8]
