"""What the API server does to an object before it validates it: drop nulls, fill in defaults."""

import copy
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def with_defaults(value: Any, schema: Schema) -> Any:
    """A copy of ``value`` without nulls that the schema does not allow, and with every default filled in."""
    if isinstance(value, dict):
        return _object(value, schema)
    if isinstance(value, list):
        items = schema.get("items", {})
        return [with_defaults(item, items) for item in value]
    return value


def _object(value: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties")
    result = {}
    for key, child in value.items():
        child_schema = properties.get(key, others)
        if child is None and child_schema is not None:
            continue
        result[key] = child if child_schema is None else with_defaults(child, child_schema)
    for key, child_schema in properties.items():
        if key not in result and "default" in child_schema:
            result[key] = with_defaults(copy.deepcopy(child_schema["default"]), child_schema)
    return result
