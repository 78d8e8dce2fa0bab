"""What all our API models share: camelCase names, no unknown fields, durations and sizes as people write them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from taskfleet.api.rules import DNS_LABEL, INT_OR_STRING, MODEL_NAME, PRESERVED, Rule, add_rules
from taskfleet.core.quantities import parse_duration, parse_size


@dataclass(frozen=True, eq=False)  # typing hashes annotations, and a dict has no hash
class Keywords:
    """Annotation that adds keywords to the schema of a type."""

    keywords: Mapping[str, Any]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), **self.keywords}


# The API server refuses two elements of one name, or of one value; server-side apply merges by them.
BY_NAME = Keywords({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]})
BY_TYPE = Keywords({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})
UNIQUE = Keywords({"x-kubernetes-list-type": "set"})
# What people may put what they like into; the API server would drop it otherwise.
ANYTHING = Keywords({PRESERVED: True})


class ApiModel(BaseModel):
    """Base of every wire and manifest model. Unknown fields are errors, never dropped.

    ``rules`` are those over several fields; a model parses without them, they are checked where a manifest enters
    (the API server, ``validate.py``).
    """

    # Most programs need few of the models: each is built when it is used first.
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, defer_build=True
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return add_rules(handler.resolve_ref_schema(handler(schema)), *cls.rules)

    def to_wire(self) -> dict[str, Any]:
        """The model as plain JSON types in camelCase, unset optional fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class _Text(str):
    """A string with a meaning: checked when parsed, itself again on the wire."""

    __slots__ = ()
    _accepts: ClassVar[CoreSchema] = core_schema.str_schema(strict=True)
    _schema: ClassVar[JsonSchemaValue] = {"type": "string", "maxLength": 32}

    @classmethod
    def _checked(cls, value: str | int) -> Self:
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls._checked, cls._accepts, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return dict(cls._schema)


class Duration(_Text):
    """A duration such as ``30s`` or ``1m30s``; ``seconds`` is its value."""

    __slots__ = ()

    @property
    def seconds(self) -> float:
        return parse_duration(self)

    @classmethod
    def _checked(cls, value: str | int) -> Self:
        parse_duration(str(value))
        return cls(value)


class _Quantity(_Text):
    """A number with or without a unit: a string or, as YAML reads it without quotes, an integer."""

    __slots__ = ()
    _accepts = core_schema.union_schema([core_schema.str_schema(strict=True), core_schema.int_schema(strict=True)])
    _schema: ClassVar[JsonSchemaValue] = {INT_OR_STRING: True, "maxLength": 32}


class Size(_Quantity):
    """A size such as ``512Ki`` or ``1Mi``, or a plain number of bytes; ``bytes`` is its value."""

    __slots__ = ()

    @property
    def bytes(self) -> int:
        return parse_size(self)

    @classmethod
    def _checked(cls, value: str | int) -> Self:
        parse_size(value)
        return cls(value)


class Quantity(_Quantity):
    """An amount of a compute resource in Kubernetes' form, such as ``100m`` or ``256Mi``; passed on as it is."""

    __slots__ = ()

    @classmethod
    def _checked(cls, value: str | int) -> Self:
        return cls(value)


class Port(_Quantity):
    """A port of a Service: its number, or the name that the Service has for it."""

    __slots__ = ()

    @classmethod
    def _checked(cls, value: str | int) -> Self:
        return cls(value)


Name = Annotated[str, Field(max_length=63), DNS_LABEL]
ModelName = Annotated[str, Field(max_length=128), MODEL_NAME]


class ObjectMeta(BaseModel):
    """The part of Kubernetes metadata that we read; the rest passes through."""

    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True, defer_build=True)

    name: str
    namespace: str = "default"
    uid: str | None = None
    generation: int = 0
    deletion_timestamp: str | None = None
    finalizers: list[str] = []
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}
