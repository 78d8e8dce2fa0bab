"""How a model is asked for a value of a form: what its server is sent beside the words, as far as it takes that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """``words`` tell the model how to answer, ``schema`` is that of the JSON; ``read`` raises ValueError with what is
    wrong. ``function``: the name and purpose of what the model is to call, whose arguments are the answer.
    ``examples``: questions with good answers. ``after``: what it is asked for once an answer could not be used; None:
    the same again."""

    name: str
    words: str
    schema: Mapping[str, Any]
    read: Callable[[Any], T]
    function: tuple[str, str] | None = None
    examples: tuple[tuple[str, str], ...] = ()
    after: "Callable[[str], Form[T] | None] | None" = None


@dataclass(slots=True)
class Manners:
    """What servers were not yet seen to refuse in this run. ``cold``: temperature 0; ``arrays``: a schema whose root is
    no object, which OpenAI's own servers refuse and which small models keep to best."""

    cold: bool = True
    functions: bool = True
    arrays: bool = True
    schemas: bool = True

    def parameters(self, form: Form[Any], own: Mapping[str, Any]) -> dict[str, Any]:
        """Of the call; ``own`` are those that people gave."""
        return {**({"temperature": 0} if self.cold else {}), **own, **self._shape(form)}

    def calls(self, form: Form[Any]) -> bool:
        """Whether the model is to call a function."""
        return form.function is not None and self.functions

    def give_up(self, form: Form[Any], own: Mapping[str, Any], said: str) -> str | None:
        """Leave out what a server most likely refused when it ``said`` so: its name; None where nothing is left."""
        for name, sent in (
            ("cold", self.cold and "temperature" not in own and "temperature" in said),
            ("functions", self.calls(form)),
            ("arrays", self.schemas and self.arrays and form.schema["type"] == "array"),
            ("schemas", self.schemas),
        ):
            if sent:
                setattr(self, name, False)
                return name
        return None

    def _shape(self, form: Form[Any]) -> dict[str, Any]:
        if self.calls(form):
            assert form.function is not None
            name, purpose = form.function
            function = {"name": name, "description": purpose, "parameters": form.schema}
            choice = {"type": "function", "function": {"name": name}}
            return {"tools": [{"type": "function", "function": function}], "tool_choice": choice}
        if not self.schemas:
            return {}
        schema = form.schema if self.arrays or form.schema["type"] != "array" else _in_an_object(form)
        return {"response_format": {"type": "json_schema", "json_schema": {"name": form.name, "schema": schema}}}


def _in_an_object(form: Form[Any]) -> dict[str, Any]:
    properties = {form.name: form.schema}
    return {"type": "object", "properties": properties, "required": [form.name], "additionalProperties": False}
