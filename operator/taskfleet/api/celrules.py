"""Evaluates the CEL rules of a schema, in the order and with the texts of the API server."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from taskfleet.api import celengine
from taskfleet.api.fielderrors import FieldError, Path, field_name, go_value
from taskfleet.api.rules import KEYWORD, OPTIONAL_OLD, UNLESS_KEPT

Schema = Mapping[str, Any]

_CEL = celengine.load()
_OLD = "oldSelf"
_UNITS = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


def rule_errors(value: Any, schema: Schema) -> Iterator[FieldError]:
    """Every rule that a whole object breaks. Its shape must be right."""
    yield from _walk(value, schema, (), "")


def _walk(value: Any, schema: Schema, path: Path, field: str) -> Iterator[FieldError]:
    for rule in schema.get(KEYWORD, ()):
        expression = _for_a_file(rule)
        if expression and not _program(expression).execute(_context(value)):
            yield _broken(rule, value, path, field)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for key, child in value.items():
            if key in properties:
                yield from _walk(child, properties[key], (*path, key), f"{field}.{key}".removeprefix("."))
            elif "additionalProperties" in schema:
                yield from _walk(child, schema["additionalProperties"], (*path, key), f"{field}[{key}]")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, schema.get("items", {}), (*path, index), f"{field}[{index}]")


def _for_a_file(rule: Mapping[str, Any]) -> str:
    """What a rule asks of an object that is not there yet; "" when it is about changes alone."""
    expression: str = rule["rule"]
    if rule.get(OPTIONAL_OLD):
        return expression.partition(UNLESS_KEPT)[0]
    return "" if _OLD in expression else expression


def _broken(rule: Mapping[str, str], value: Any, path: Path, field: str) -> FieldError:
    if "fieldPath" in rule:
        below = rule["fieldPath"].removeprefix(".").split(".")
        path, field = (*path, *below), ".".join([field, *below]).removeprefix(".")
    shown = "" if isinstance(value, dict | list) else f"{go_value(value)}: "
    return FieldError(path, field or field_name(path), f"Invalid value: {shown}{rule['message']}")


@cache
def _program(expression: str) -> Any:
    return _CEL.compile(expression)


def _context(value: Any) -> Any:
    """``self`` and those functions of Kubernetes' CEL that our rules use and the library does not bring."""
    context = _CEL.Context()
    context.add_variable("self", value)
    context.add_function("quantity", _quantity)
    context.add_function("compareTo", lambda one, other: (one > other) - (one < other))
    context.add_function("sum", sum)
    return context


def _quantity(text: str) -> float:
    number = text.rstrip("mkMGTKi")
    return float(number) * _UNITS[text[len(number) :]]
