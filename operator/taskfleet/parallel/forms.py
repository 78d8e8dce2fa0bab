"""What models are asked for: whether something holds, and the arguments of a tool. Items: see ``listing``."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from taskfleet.api.packagetools import load, package_tools
from taskfleet.api.toolcalls import ARGUMENTS, ToolArguments, parse_arguments
from taskfleet.core.errors import InputError, InvalidTask
from taskfleet.parallel.manners import Form

# Bounds that servers turn into a grammar, and fail over; what is read is held to them all the same.
_NOT_SHOWN = ("title", "default", "maxLength", "minLength", "maxItems", "minItems", "pattern", "maxProperties")


def _holds(found: Any) -> bool:
    match found:
        case bool():
            return found
        case {"holds": bool(holds)}:
            return holds
    raise ValueError('it must be {"holds": true} or {"holds": false}')


HOLDS = Form(
    "judgement",
    'Answer with JSON and nothing else: {"holds": true} if it holds, {"holds": false} if not.',
    {
        "type": "object",
        "properties": {"holds": {"type": "boolean"}},
        "required": ["holds"],
        "additionalProperties": False,
    },
    _holds,
)


def arguments_form(tool: str) -> Form[dict[str, Any]]:
    """The arguments of a tool, ours or one of a package. Raises InputError where its arguments are not known here."""
    model = _arguments_model(tool)
    schema = _shown(model.model_json_schema())
    purpose = " ".join((model.__doc__ or tool).split())

    def read(found: Any) -> dict[str, Any]:
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")  # noqa: TRY004 - what a model wrote
        try:
            parse_arguments(model, found)
        except InvalidTask as error:
            raise ValueError(str(error)) from None
        return found

    def form(
        shown: Mapping[str, Any], after: Callable[[str], Form[dict[str, Any]]] | None = None
    ) -> Form[dict[str, Any]]:
        words = (
            f"Do this by calling the tool {tool} ({purpose}) Answer with the JSON object of its arguments and nothing "
            f"else. The JSON schema of that object: {orjson.dumps(_brief(shown)).decode()}"
        )
        return Form("arguments", words, shown, read, (tool, purpose), after=after)

    least = form(_needed(schema))
    again = form(schema, lambda _: least)
    return form(schema, lambda answer: least if _breaks_off(answer) else again)


def _needed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same without what may be left out: small models fill all that they are offered, and get lost in it. It is
    what they are asked for when all else failed."""
    needed = schema.get("required", [])
    return {**schema, "properties": {name: schema["properties"][name] for name in needed or schema["properties"]}}


def _breaks_off(answer: str) -> bool:
    """Whether it is JSON that ran on until there was no room."""
    return answer.lstrip().startswith("{") and not answer.rstrip().endswith("}")


def _brief(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same with fewer words about what may be left out: some models have room for few."""
    needed = schema.get("required", [])
    properties = {
        name: part if name in needed else {word: part[word] for word in ("type", "enum", "anyOf") if word in part}
        for name, part in schema["properties"].items()
    }
    return {"type": "object", "properties": properties, "required": needed}


def _arguments_model(tool: str) -> type[ToolArguments]:
    if tool in ARGUMENTS:
        return ARGUMENTS[tool]
    offered = package_tools()
    if tool not in offered:
        known = ", ".join((*ARGUMENTS, *offered))
        raise InputError(
            f"a model cannot choose the arguments of {tool!r}, whose JSON schema is not known here ({known} are); give "
            "arguments, or install the package of the tool where the run is driven"
        )
    model: type[ToolArguments] = load(offered[tool]).arguments
    return model


def _shown(schema: Any) -> Any:
    """The schema without what a model need not know; names of fields are kept, whatever they are called."""
    match schema:
        case Mapping():
            return {
                name: {field: _shown(part) for field, part in value.items()} if name == "properties" else _shown(value)
                for name, value in schema.items()
                if name not in _NOT_SHOWN
            }
        case list():
            return [_shown(part) for part in schema]
        case _:
            return schema
