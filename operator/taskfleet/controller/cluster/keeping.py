"""What is kept of an object that the API server showed: what somebody here looks at again, a tenth of its bytes.

The rest is dropped where it comes in: a controller of 500 pools would hold some 50 MiB of it for nothing.
"""

import sys
from typing import Any

from taskfleet.controller.cluster.cache import Object
from taskfleet.controller.cluster.writers import replicas_writers

# ``annotations`` may hold the whole object once more (kubectl's last applied one), ``managedFields`` its every field.
_UNREAD = ("annotations", "managedFields")


def of_custom_resource(obj: Object) -> Object:
    """One of ours. Its spec is what the reconciler has as a model."""
    return {"metadata": _metadata(obj), "status": _sharing(obj.get("status", {}))}


def of_deployment(obj: Object) -> Object:
    """How many pods it should have, who else wrote so, and how it fares; not what they are made of."""
    meta, writers = _metadata(obj), replicas_writers(obj)
    if writers:
        meta["managedFields"] = writers
    number = {"replicas": obj["spec"].get("replicas", 0)}
    return {"metadata": meta, "spec": number, "status": _sharing(obj.get("status", {}))}


def of_service(obj: Object) -> Object:
    """By what it is found, and where it can be called."""
    return {"metadata": _metadata(obj), "spec": {"ports": obj.get("spec", {}).get("ports", [])}}


def of_autoscaler(obj: Object) -> Object:
    """All that it was told to do, and how it fares."""
    return {**obj, "metadata": _metadata(obj)}


def _metadata(obj: Object) -> Object:
    return {sys.intern(name): _sharing(value) for name, value in obj["metadata"].items() if name not in _UNREAD}


def _sharing(value: Any) -> Any:
    """The same, with words that objects have in common kept once: each answer of the API server brings its own."""
    if isinstance(value, dict):
        return {sys.intern(name): _sharing(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_sharing(each) for each in value]
    return sys.intern(value) if type(value) is str else value
