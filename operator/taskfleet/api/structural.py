"""JSON schema as pydantic writes it, turned into the structural schema that a CustomResourceDefinition may hold.

Structural means: every reference inlined, a single type everywhere, and no keyword that the API server does not take.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_DROPPED = {"title", "$defs", "additionalProperties", "anyOf"}


def structural_schema(model: type[BaseModel], *, defaults: bool) -> Schema:
    """The structural schema of a model. ``defaults`` says whether the API server shall fill in what is missing."""
    source = model.model_json_schema(by_alias=True)
    return _Builder(source.get("$defs", {}), defaults=defaults).build(source)


class _Builder:
    def __init__(self, definitions: Mapping[str, Schema], *, defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def build(self, node: Schema) -> Schema:
        node = self._inlined(node)
        result = {key: value for key, value in node.items() if key not in _DROPPED}
        if result.get("default") is None or not self._defaults:
            result.pop("default", None)
        if "items" in node:
            result["items"] = self.build(node["items"])
        if isinstance(node.get("additionalProperties"), dict):
            result["additionalProperties"] = self.build(node["additionalProperties"])
        if "properties" in node:
            result["properties"] = self._properties(node)
        if "description" in result and "properties" not in node:
            result["description"] += _figures(result)
        return result

    def _properties(self, node: Schema) -> Schema:
        required = node.get("required", ())
        properties = {}
        for name, child in node["properties"].items():
            built = self.build(child)
            optional = name not in required and not _is_nullable(child)
            if self._defaults and optional and "properties" in built:
                # In full, since the API server checks the rules of a default before it fills in the defaults inside.
                built["default"] = {
                    key: inner["default"] for key, inner in built["properties"].items() if "default" in inner
                }
            properties[name] = built
        return properties

    def _inlined(self, node: Schema) -> Schema:
        """The node with its reference, or the one real choice beside null, merged in. What stands beside it wins."""
        if _is_nullable(node):
            choice = next(choice for choice in node["anyOf"] if choice != {"type": "null"})
            node = {**choice, **{key: value for key, value in node.items() if key != "anyOf"}}
        if "$ref" in node:
            target = self._inlined(self._definitions[node["$ref"].removeprefix("#/$defs/")])
            node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
        return node


def _is_nullable(node: Schema) -> bool:
    return {"type": "null"} in node.get("anyOf", ())


def _figures(schema: Schema) -> str:
    """Bounds and default as words, because ``kubectl explain`` prints neither."""
    words = []
    if "minimum" in schema and "maximum" in schema:
        words.append(f"from {schema['minimum']} to {schema['maximum']}")
    if schema.get("default") not in (None, "", [], {}):
        words.append(f"{schema['default']} when not set")
    return f" ({', '.join(words)})" if words else ""
