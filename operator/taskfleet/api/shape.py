"""Checks of a value against a structural schema: types, bounds, enums, required fields, duplicates.

A port of what the API server does (kube-openapi's validation and the list types of apiextensions), down to its words.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from taskfleet.api.fielderrors import (
    NO_FIELD,
    FieldError,
    Path,
    duplicate,
    field_name,
    go_value,
    invalid,
    required,
    too_long,
    too_many,
    unsupported,
    wrong_type,
)
from taskfleet.api.rules import INT_OR_STRING

Schema = Mapping[str, Any]
_compiled = lru_cache(maxsize=None)(re.compile)


def shape_errors(value: Any, schema: Schema) -> Iterator[FieldError]:
    """Every problem with the shape of a whole object."""
    yield from _check(value, schema, ())
    yield from _duplicates(value, schema, ())


def type_name(value: Any) -> str:
    """The JSON type of a value; a float without fraction is still a ``number``."""
    for kind, name in (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        (dict, "object"),
        (list, "array"),
    ):
        if isinstance(value, kind):
            return name
    return "null"


def _check(value: Any, schema: Schema, path: Path) -> Iterator[FieldError]:
    kind = type_name(value)
    if "type" not in schema and not schema.get(INT_OR_STRING):
        return  # anything goes
    wanted = ("integer", "string") if schema.get(INT_OR_STRING) else (schema["type"],)
    if not _fits(value, kind, wanted):
        yield wrong_type(path, ",".join(wanted), kind)
        if kind == "number" and wanted == ("integer",):
            text = f"Checked value must be of type integer (default format) in {field_name(path)}"
            yield invalid(path, "", text, field=NO_FIELD)
    if "enum" in schema and value not in schema["enum"]:
        yield unsupported(path, value, schema["enum"])
    if check := _CHECKS.get(kind):
        yield from check(value, schema, path)


def _fits(value: Any, kind: str, wanted: tuple[str, ...]) -> bool:
    if kind in wanted:
        return True
    if kind == "integer":
        return "number" in wanted
    return kind == "number" and "integer" in wanted and value == int(value) and abs(value) < 2**53


def _check_string(value: str, schema: Schema, path: Path) -> Iterator[FieldError]:
    """Only the first problem, as the API server does."""
    name = field_name(path)
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        yield too_long(path, schema["maxLength"])
    elif "minLength" in schema and len(value) < schema["minLength"]:
        yield invalid(path, value, f"{name} in body should be at least {schema['minLength']} chars long")
    elif "pattern" in schema and not _compiled(schema["pattern"].replace("$", r"\Z")).search(value):
        yield invalid(path, value, f"{name} in body should match '{schema['pattern']}'")


def _check_number(value: float, schema: Schema, path: Path) -> Iterator[FieldError]:
    name = field_name(path)
    if "maximum" in schema and value > schema["maximum"]:
        yield invalid(path, value, f"{name} in body should be less than or equal to {_bound(schema['maximum'], value)}")
    if "minimum" in schema and value < schema["minimum"]:
        yield invalid(
            path, value, f"{name} in body should be greater than or equal to {_bound(schema['minimum'], value)}"
        )


def _bound(bound: float, value: float) -> str:
    return str(int(bound)) if isinstance(value, int) else go_value(float(bound))


def _check_array(value: list[Any], schema: Schema, path: Path) -> Iterator[FieldError]:
    for index, item in enumerate(value):
        if "items" in schema:
            yield from _check(item, schema["items"], (*path, index))
    if "minItems" in schema and len(value) < schema["minItems"]:
        text = f"{field_name(path)} in body should have at least {schema['minItems']} items"
        yield invalid(path, len(value), text)
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        yield too_many(path, len(value), schema["maxItems"])


def _check_object(value: dict[str, Any], schema: Schema, path: Path) -> Iterator[FieldError]:
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        yield too_many(path, len(value), schema["maxProperties"])
    properties = schema.get("properties", {})
    for key, child in value.items():
        child_schema = properties.get(key, schema.get("additionalProperties"))
        if child_schema is not None:
            yield from _check(child, child_schema, (*path, key))
    for key in schema.get("required", ()):
        if key not in value:
            yield required((*path, key))


_CHECKS: dict[str, Callable[[Any, Schema, Path], Iterator[FieldError]]] = {
    "string": _check_string,
    "integer": _check_number,
    "number": _check_number,
    "array": _check_array,
    "object": _check_object,
}


def _duplicates(value: Any, schema: Schema, path: Path) -> Iterator[FieldError]:
    """Elements that a list of type set or map holds more than once; each is told once."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for key, child in value.items():
            child_schema = properties.get(key, schema.get("additionalProperties"))
            if child_schema is not None:
                yield from _duplicates(child, child_schema, (*path, key))
    elif isinstance(value, list):
        yield from _repeated(value, schema, path)
        for index, item in enumerate(value):
            yield from _duplicates(item, schema.get("items", {}), (*path, index))


def _repeated(value: list[Any], schema: Schema, path: Path) -> Iterator[FieldError]:
    keys: list[Any]
    match schema.get("x-kubernetes-list-type"):
        case "set":
            keys = value
        case "map":
            for index, item in enumerate(value):
                if item is not None and not isinstance(item, dict):
                    yield invalid((*path, index), item, "must be an object for an array of list-type map")
                    return
            (name,) = schema["x-kubernetes-list-map-keys"]
            keys = [{name: item[name]} if item and name in item else {} for item in value]
        case _:
            return
    seen: dict[str, int] = {}
    for index, key in enumerate(keys):
        text = f"{type_name(key)} {go_value(key)}"
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            yield duplicate((*path, index), key)
