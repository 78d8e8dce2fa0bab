"""Fields that the schema does not know: refused with the text of the API server's strict decoding."""

from collections.abc import Iterator, Mapping
from typing import Any

from taskfleet.api.fielderrors import Path
from taskfleet.api.rules import PRESERVED

_TYPE_META = frozenset(("apiVersion", "kind", "metadata"))
_OBJECT_META = frozenset(
    (
        *("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences"),
        *("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
        *("deletionGracePeriodSeconds", "selfLink", "managedFields"),
    )
)


def unknown_fields(manifest: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Path]:
    """Paths of all unknown fields, in the order of the manifest."""
    metadata = manifest.get("metadata") or {}
    found: list[Path] = [("metadata", key) for key in metadata if key not in _OBJECT_META]
    body = {key: value for key, value in manifest.items() if key not in _TYPE_META}
    found.extend(_walk(body, schema, ()))
    return found


def _walk(value: Any, schema: Mapping[str, Any] | None, path: Path) -> Iterator[Path]:
    known = schema or {}
    if known.get(PRESERVED):
        return
    if isinstance(value, dict):
        for key, child in value.items():
            if key in known.get("properties", {}):
                yield from _walk(child, known["properties"][key], (*path, key))
            elif "additionalProperties" in known:
                yield from _walk(child, known["additionalProperties"], (*path, key))
            else:
                yield (*path, key)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _walk(child, known.get("items"), (*path, index))
