"""Checks of an object's metadata, with the texts of kubectl and the API server."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from taskfleet.api.fielderrors import FieldError, Path, invalid
from taskfleet.core.names import MAX_LABEL

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_KEY_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_KEY}')"
)
_VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_VALUE}')"
)
_MAX_SUBDOMAIN = 253

_GO_TYPES = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
_TEXTS = ("name", "namespace", "generateName")
_MAPS = ("labels", "annotations")


def undecodable(manifest: Mapping[str, Any]) -> tuple[Path, str] | None:
    """The first part of the metadata that has not the type it must have, as path and text; None when all have."""
    metadata = manifest.get("metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        text = f"{_GO_TYPES[type(metadata)]} into Go struct field metadataOnlyObject.metadata of type v1.ObjectMeta"
        return ("metadata",), f"json: cannot unmarshal {text}"
    for key in _TEXTS:
        if not isinstance(metadata.get(key), str | None):
            return ("metadata", key), _cannot(metadata[key], key, "string")
    for key in _MAPS:
        values = metadata.get(key)
        if not isinstance(values, dict | None):
            return ("metadata", key), _cannot(values, key, "map[string]string")
        for name, value in (values or {}).items():
            if not isinstance(value, str | None):
                return ("metadata", key, name), _cannot(value, key, "string")
    return None


def _cannot(value: Any, key: str, wanted: str) -> str:
    found = _GO_TYPES[type(value)]
    return f"json: cannot unmarshal {found} into Go struct field ObjectMeta.metadata.{key} of type {wanted}"


def without_nulls(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata as Go reads it: null is nothing, and an empty text as the value of a label or an annotation."""
    result = {key: value for key, value in metadata.items() if value is not None}
    for kind in _MAPS:
        if kind in result:
            result[kind] = {key: value or "" for key, value in result[kind].items()}
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
    """Problems with the name, the labels and the annotations."""
    name = metadata["name"]
    if len(name.encode()) > _MAX_SUBDOMAIN:
        yield invalid(("metadata", "name"), name, f"must be no more than {_MAX_SUBDOMAIN} characters")
    if not re.fullmatch(_SUBDOMAIN, name):
        yield invalid(("metadata", "name"), name, _SUBDOMAIN_TEXT)
    for kind in _MAPS:
        for key, value in metadata.get(kind, {}).items():
            yield from _key_errors(kind, key)
            if kind == "labels":
                yield from _label_errors(key, value)


def _key_errors(kind: str, key: str) -> Iterator[FieldError]:
    shown = key.lower() if kind == "annotations" else key
    if not re.fullmatch(_KEY, key.rpartition("/")[2]):
        yield invalid(("metadata", kind, key), shown, _KEY_TEXT, field=f"metadata.{kind}")


def _label_errors(key: str, value: str) -> Iterator[FieldError]:
    path, field = ("metadata", "labels", key), "metadata.labels"
    if len(value.encode()) > MAX_LABEL:
        yield invalid(path, value, f"must be no more than {MAX_LABEL} bytes", field=field)
    if not re.fullmatch(_VALUE, value):
        yield invalid(path, value, _VALUE_TEXT, field=field)
