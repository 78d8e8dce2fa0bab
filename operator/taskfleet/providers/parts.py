"""Pieces of OpenAI messages, in which tasks are written, as the other protocols need them. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from taskfleet.core.errors import InputError
from taskfleet.providers.streams import check_depth

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Image:
    """``data`` is base64; ``url`` is set instead when the image is elsewhere."""

    media_type: str = ""
    data: str = ""
    url: str = ""


def parts_of(content: Any, where: str) -> list[str | Image | Mapping[str, Any]]:
    """The parts of a message's content: texts, images, and what belongs to no protocol that we know, as it is.

    Errors: InputError naming ``where`` when content is neither text nor a list of parts.
    """
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, Sequence):
        raise InputError(f"{where}: it must be text or a list of parts")
    return [_part(part, f"{where}[{number}]") for number, part in enumerate(content)]


def _part(part: Any, where: str) -> str | Image | Mapping[str, Any]:
    if not isinstance(part, Mapping):
        raise InputError(f"{where}: it must be an object with a type")
    if part.get("type") == "text" and isinstance(part.get("text"), str) and len(part) == 2:
        return str(part["text"])
    if part.get("type") != "image_url":
        return part
    link = part.get("image_url")
    url = link.get("url") if isinstance(link, Mapping) else link
    if not isinstance(url, str):
        raise InputError(f"{where}.image_url: it must be an object with a url")
    data = _DATA_URL.fullmatch(url)
    return Image(data[1], data[2]) if data else Image(url=url)


def calls_of(message: Mapping[str, Any], where: str) -> list[tuple[str | None, str, Mapping[str, Any]]]:
    """Id, name and arguments of each tool call of an OpenAI message, the arguments taken out of their JSON text."""
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise InputError(f"{where}.tool_calls: it must be a list of calls")
    return [_call(call, f"{where}.tool_calls[{number}]") for number, call in enumerate(calls)]


def _call(call: Any, where: str) -> tuple[str | None, str, Mapping[str, Any]]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InputError(f"{where}.function: it must have a name")
    identity = call.get("id")
    if not isinstance(identity, str | None):
        raise InputError(f"{where}.id: it must be text")
    arguments = function.get("arguments") or "{}"
    try:
        found = orjson.loads(arguments) if isinstance(arguments, str) else arguments
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, Mapping):
        raise InputError(f"{where}.function.arguments: it must be a JSON object")
    return identity, function["name"], found


def tool_call(identity: str, name: str, arguments: Any) -> dict[str, Any]:
    """One tool call as OpenAI writes it: a result looks the same whichever server gave it. Errors: NotACompletion."""
    check_depth(arguments)
    text = orjson.dumps(arguments).decode()
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": text}}
