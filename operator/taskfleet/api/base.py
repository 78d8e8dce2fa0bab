"""What all our API models share: camelCase names, no unknown fields, durations and sizes as people write them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from taskfleet.core.quantities import DURATION_PATTERN, SIZE_PATTERN, parse_duration, parse_size

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
MODEL_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._:/@-]*[A-Za-z0-9])?$"


class ApiModel(BaseModel):
    """Base of every wire and manifest model. Unknown fields are errors, never dropped."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def to_wire(self) -> dict[str, Any]:
        """The model as plain JSON types in camelCase, unset optional fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Duration(str):
    """A duration such as ``30s`` or ``1m30s``; ``seconds`` is its value."""

    @property
    def seconds(self) -> float:
        return parse_duration(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls._checked, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": DURATION_PATTERN}

    @classmethod
    def _checked(cls, text: str) -> "Duration":
        parse_duration(text)
        return cls(text)


class Size(str):
    """A size such as ``512Ki`` or ``1Mi``, or a plain number of bytes; ``bytes`` is its value."""

    @property
    def bytes(self) -> int:
        return parse_size(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls._checked, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": SIZE_PATTERN}

    @classmethod
    def _checked(cls, text: str) -> "Size":
        parse_size(text)
        return cls(text)


Name = Annotated[str, Field(pattern=NAME_PATTERN, min_length=1, max_length=63)]
ModelName = Annotated[str, Field(pattern=MODEL_PATTERN, min_length=1, max_length=128)]


class ObjectMeta(BaseModel):
    """The part of Kubernetes metadata that we read; the rest passes through."""

    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True)

    name: str
    namespace: str = "default"
    uid: str | None = None
    generation: int = 0
    deletion_timestamp: str | None = None
    finalizers: list[str] = []
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}
