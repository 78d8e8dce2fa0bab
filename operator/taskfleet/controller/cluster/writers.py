"""Who wrote the number of replicas of a Deployment, out of what the API server notes about every field. No I/O."""

from typing import Any

from taskfleet.controller.cluster.cache import Object
from taskfleet.core.names import FIELD_MANAGER


def keep_replicas_writer(obj: Object) -> None:
    """Drop of ``managedFields`` (most of an object's bytes) all but who else owns ``spec.replicas``."""
    entries = obj["metadata"].pop("managedFields", ())
    writers = [entry for entry in entries if _owns_replicas(entry) and entry.get("manager") != FIELD_MANAGER]
    if writers:
        obj["metadata"]["managedFields"] = writers


def replicas_writer(obj: Object) -> str:
    """Who other than us wrote ``spec.replicas`` last, as it calls itself; "" when nobody did."""
    entries = [entry for entry in obj["metadata"].get("managedFields", ()) if _owns_replicas(entry)]
    last = max(entries, key=lambda entry: str(entry.get("time", "")), default=None)
    return "" if last is None or last.get("manager") == FIELD_MANAGER else str(last.get("manager"))


def _owns_replicas(entry: dict[str, Any]) -> bool:
    return "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
