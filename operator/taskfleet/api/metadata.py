"""Checks of an object's metadata, with the texts of kubectl and the API server."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from taskfleet.api.fielderrors import FieldError, Path, go_value, invalid
from taskfleet.core.names import MAX_LABEL

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_KEY_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_KEY}')"
)
_PREFIX_TEXT = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
_VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_VALUE}')"
)
_MAX_SUBDOMAIN = 253

_GO_TYPES = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
_GO_FIELDS = {
    **dict.fromkeys(("name", "namespace", "generateName", "resourceVersion", "selfLink"), (str, "string")),
    "uid": (str, "types.UID"),
    "generation": (int, "int64"),
    "finalizers": (list, "[]string"),
    "labels": (dict, "map[string]string"),
    "annotations": (dict, "map[string]string"),
}
_MAPS = ("labels", "annotations")
# The API server sets these itself when an object is created, whatever a manifest says.
_SYSTEM_FIELDS = frozenset(("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"))


def undecodable(manifest: Mapping[str, Any]) -> tuple[Path, str] | None:
    """The first part of the metadata that has not the type it must have, as path and text; None when all have."""
    metadata = manifest.get("metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        text = f"{_GO_TYPES[type(metadata)]} into Go struct field metadataOnlyObject.metadata of type v1.ObjectMeta"
        return ("metadata",), f"json: cannot unmarshal {text}"
    for key, (wanted, go_type) in _GO_FIELDS.items():
        value = metadata.get(key)
        if value is None:
            continue
        if not isinstance(value, wanted) or isinstance(value, bool):
            return ("metadata", key), _cannot(value, key, go_type)
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, item in items:
            if not isinstance(item, str | None):
                return ("metadata", key, step), _cannot(item, key, "string")
    return None


def _cannot(value: Any, key: str, wanted: str) -> str:
    found = _GO_TYPES[type(value)]
    if wanted == "int64" and isinstance(value, float):
        found = f"number {go_value(value)}"
    return f"json: cannot unmarshal {found} into Go struct field ObjectMeta.metadata.{key} of type {wanted}"


def as_created(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a new object: null is nothing, or an empty text as the value of a label or an annotation."""
    result = {key: value for key, value in metadata.items() if value is not None and key not in _SYSTEM_FIELDS}
    for kind in _MAPS:
        if kind in result:
            result[kind] = {key: value or "" for key, value in result[kind].items()}
    if "finalizers" in result:
        result["finalizers"] = [value or "" for value in result["finalizers"]]
    return result


def unnamed(metadata: Mapping[str, Any]) -> str:
    """Why an object cannot be applied under its name; empty when it can."""
    if metadata.get("name"):
        name = metadata["name"]
        bad = [f"may not contain '{sign}'" for sign in "/%" if sign in name]
        return f'invalid resource name "{name}": [{" ".join(bad)}]' if bad else ""
    if metadata.get("generateName"):
        return f"from {metadata['generateName']}: cannot use generate name with apply"
    return "resource name may not be empty"


def metadata_errors(metadata: Mapping[str, Any]) -> Iterator[FieldError]:
    """Problems with the name, the labels, the annotations and the finalizers."""
    name = metadata["name"]
    for text in _subdomain_troubles(name):
        yield invalid(("metadata", "name"), name, text)
    for key, value in metadata.get("labels", {}).items():
        yield from _key_errors("labels", key, key, key)
        yield from _label_errors(key, value)
    for key in metadata.get("annotations", {}):
        yield from _key_errors("annotations", key, key, key.lower())
    for index, finalizer in enumerate(metadata.get("finalizers", ())):
        yield from _key_errors("finalizers", index, finalizer, finalizer)


def _key_errors(kind: str, step: str | int, shown: str, key: str) -> Iterator[FieldError]:
    for text in _key_troubles(key):
        yield invalid(("metadata", kind, step), shown, text, field=f"metadata.{kind}")


def _key_troubles(key: str) -> Iterator[str]:
    """What is wrong with the key of a label (or an annotation, in lower case)."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        yield f"a valid label key {_KEY_TEXT} {_PREFIX_TEXT}"
        return
    if slash and not prefix:
        yield "prefix part must be non-empty"
    elif slash:
        yield from (f"prefix part {text}" for text in _subdomain_troubles(prefix))
    if not name:
        yield "name part must be non-empty"
    elif len(name.encode()) > MAX_LABEL:
        yield f"name part must be no more than {MAX_LABEL} bytes"
    if not re.fullmatch(_KEY, name):
        yield f"name part {_KEY_TEXT}"


def _subdomain_troubles(text: str) -> Iterator[str]:
    if len(text.encode()) > _MAX_SUBDOMAIN:
        yield f"must be no more than {_MAX_SUBDOMAIN} characters"
    if not re.fullmatch(_SUBDOMAIN, text):
        yield _SUBDOMAIN_TEXT


def _label_errors(key: str, value: str) -> Iterator[FieldError]:
    path, field = ("metadata", "labels", key), "metadata.labels"
    if len(value.encode()) > MAX_LABEL:
        yield invalid(path, value, f"must be no more than {MAX_LABEL} bytes", field=field)
    if not re.fullmatch(_VALUE, value):
        yield invalid(path, value, _VALUE_TEXT, field=field)
