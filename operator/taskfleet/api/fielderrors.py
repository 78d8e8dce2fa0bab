"""A problem with one field, in the very words of the Kubernetes API server."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Path = tuple[str | int, ...]

NO_FIELD = "<nil>"
_FIRST_EXPONENT = 6
_HTML = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}
_ESCAPES = {'"': '\\"', "\\": "\\\\"} | dict(
    zip("\a\b\f\n\r\t\v", ("\\a", "\\b", "\\f", "\\n", "\\r", "\\t", "\\v"), strict=True)
)


@dataclass(frozen=True, slots=True)
class FieldError:
    """``field`` is the path as the API server prints it, ``path`` the same for finding the line in a file.

    ``blocking`` errors make the object's shape doubtful, so that the rules over it are not evaluated.
    """

    path: Path
    field: str
    text: str
    blocking: bool = False

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"


def field_name(path: Path) -> str:
    """``("spec", "endpoints", 0, "url")`` as ``spec.endpoints[0].url``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def invalid(path: Path, value: Any, detail: str, *, field: str | None = None) -> FieldError:
    return FieldError(path, field or field_name(path), f"Invalid value: {go_value(value)}: {detail}")


def wrong_type(path: Path, wanted: str, found: str) -> FieldError:
    text = f'Invalid value: "{found}": {field_name(path)} in body must be of type {wanted}: "{found}"'
    return FieldError(path, field_name(path), text, blocking=True)


def required(path: Path) -> FieldError:
    return FieldError(path, field_name(path), "Required value", blocking=True)


def unsupported(path: Path, value: Any, supported: Iterable[str]) -> FieldError:
    listed = ", ".join(go_value(choice) for choice in supported)
    text = f"Unsupported value: {go_value(value)}: supported values: {listed}"
    return FieldError(path, field_name(path), text, blocking=True)


def too_long(path: Path, limit: int) -> FieldError:
    text = f"Too long: may not be more than {limit} byte{'' if limit == 1 else 's'}"
    return FieldError(path, field_name(path), text, blocking=True)


def too_many(path: Path, count: int, limit: int) -> FieldError:
    text = f"Too many: {count}: must have at most {limit} item{'' if limit == 1 else 's'}"
    return FieldError(path, field_name(path), text, blocking=True)


def duplicate(path: Path, value: Any) -> FieldError:
    return FieldError(path, field_name(path), f"Duplicate value: {go_value(value)}")


def go_value(value: Any) -> str:
    """A value as Go prints it in an error: quoted strings, JSON for lists and maps."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, str):
        return f'"{"".join(map(_go_character, value))}"'
    if isinstance(value, dict | list):
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
        return text.translate(_HTML)
    return str(value)


def go_float(value: float) -> str:
    """Go's ``%v``: the shortest digits, with an exponent from 1e+06 up and below 1e-04."""
    digits = Decimal(repr(value))
    exponent = digits.adjusted() if value else 0
    if -4 <= exponent < _FIRST_EXPONENT:
        return str(int(value)) if value == int(value) else f"{digits:f}"
    mantissa = digits.scaleb(-exponent).normalize()
    return f"{mantissa:f}e{exponent:+03d}"


def _go_character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def go_plain(value: Any) -> str:
    """A value as Go prints it without quotes (``%v``)."""
    if isinstance(value, list):
        return f"[{' '.join(map(go_plain, value))}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_plain(value[key])}' for key in sorted(value))}]"
    if value is None:
        return NO_FIELD
    return value if isinstance(value, str) else go_value(value)


def go_type(value: Any) -> str:
    """The Go type that a decoded JSON value has."""
    names = {
        bool: "bool",
        int: "int64",
        float: "float64",
        str: "string",
        list: "[]interface {}",
        dict: "map[string]interface {}",
    }
    return names[type(value)]
