"""The model server of an endpoint as a container beside its workers, and what its pods tell of it. No I/O.

It is a native sidecar: an init container that is restarted whenever it ends. Kubernetes starts the worker when the
server's startup probe has an answer, and ends the server after the worker.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.modelserver import ModelServer

Object = dict[str, Any]

SERVER_CONTAINER = "server"
_VOLUME = "model-cache"
_PROBE_SECONDS = 2


def server_container(endpoint: Endpoint, server: ModelServer) -> Object:
    """The container of the server; goes into ``initContainers``."""
    container: Object = {
        "name": SERVER_CONTAINER,
        "image": server.image,
        "restartPolicy": "Always",
        "args": list(server.args),
        "env": [{"name": variable.name, "value": variable.value} for variable in server.env],
        "ports": [{"name": "model", "containerPort": server.port, "protocol": "TCP"}],
        "startupProbe": {
            **_probe(endpoint, server),
            "periodSeconds": _PROBE_SECONDS,
            "failureThreshold": max(1, math.ceil(server.startup_timeout.seconds / _PROBE_SECONDS)),
        },
        # One that died or hangs makes its pod not ready; the worker hands its tasks back by itself.
        "readinessProbe": {**_probe(endpoint, server), "periodSeconds": 5, "failureThreshold": 3},
        "resources": server.resources.to_wire(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": _security(server),
    }
    if server.command:
        container["command"] = list(server.command)
    if server.cache:
        container["volumeMounts"] = [{"name": _VOLUME, "mountPath": server.cache.path}]
    return container


def server_volumes(server: ModelServer) -> list[Object]:
    """The volumes of the pod that the server needs."""
    if server.cache is None:
        return []
    if server.cache.claim_name:
        return [{"name": _VOLUME, "persistentVolumeClaim": {"claimName": server.cache.claim_name}}]
    limit = {"sizeLimit": str(server.cache.size_limit)} if server.cache.size_limit else {}
    return [{"name": _VOLUME, "emptyDir": limit}]


def cold_start(pods: Iterable[Mapping[str, Any]]) -> float | None:
    """Seconds from a pod's creation to the start of its worker, which its server was waited for: of the newest pod that
    has come so far, None when none has. Pulling the image and finding a node are part of it, as for who waits."""
    newest = max(
        pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]) if _worker_start(pod) else "", default={}
    )
    began = _worker_start(newest)
    return began and _moment(began) - _moment(newest["metadata"]["creationTimestamp"])


def _worker_start(pod: Mapping[str, Any]) -> Any:
    for container in pod.get("status", {}).get("containerStatuses", ()):
        if container.get("name") == "worker" and not container.get("restartCount"):
            return container.get("state", {}).get("running", {}).get("startedAt")
    return None


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _probe(endpoint: Endpoint, server: ModelServer) -> Object:
    return {"httpGet": {"path": endpoint.health_path, "port": server.port}, "timeoutSeconds": 5}


def _security(server: ModelServer) -> Object:
    """As strict as the worker's, but for the file system: servers write where they like."""
    strict: Object = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    if server.run_as_user is None:
        return strict
    return {**strict, "runAsUser": server.run_as_user, "runAsNonRoot": server.run_as_user != 0}
