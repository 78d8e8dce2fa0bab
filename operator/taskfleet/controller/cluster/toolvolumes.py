"""What the pods of an endpoint's tools may write to, since their own file system is read-only. No I/O."""

from typing import Any

from taskfleet.api.endpoint import Endpoint, Provider

Object = dict[str, Any]

_SCRATCH, _FILES = "scratch", "files"
_SCRATCH_PATH = "/tmp"


def tool_volumes(endpoint: Endpoint) -> list[Object]:
    """Volumes of the pod; none where it serves no tools."""
    if endpoint.provider is not Provider.TOOLS:
        return []
    # A browser keeps its profile there.
    volumes: list[Object] = [{"name": _SCRATCH, "emptyDir": {"sizeLimit": "1Gi"}}]
    if endpoint.tools and endpoint.tools.file:
        claim = endpoint.tools.file.claim_name
        kind = {"persistentVolumeClaim": {"claimName": claim}} if claim else {"emptyDir": {}}
        volumes.append({"name": _FILES, **kind})
    return volumes


def tool_mounts(endpoint: Endpoint) -> list[Object]:
    """Where the worker's container has them."""
    if endpoint.provider is not Provider.TOOLS:
        return []
    mounts: list[Object] = [{"name": _SCRATCH, "mountPath": _SCRATCH_PATH}]
    if endpoint.tools and (files := endpoint.tools.file):
        mounts.append({"name": _FILES, "mountPath": files.root, "readOnly": files.read_only})
    return mounts
