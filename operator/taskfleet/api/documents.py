"""Reads YAML and JSON files as kubectl does, and remembers the line of every field.

Plain words mean what kubectl's parser takes them for, which is not always what PyYAML would: ``y`` and ``off`` are
booleans, ``1:30`` and dates are strings, ``010`` is octal, ``1e3`` is a number.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from taskfleet.api.fielderrors import Path

# Aliases are expanded in place; this bounds what a small hostile file can grow to.
MAX_VALUES = 200_000
_MAX_DEPTH = 100

_TRUE = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
_FALSE = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
_NULL = {"", "~", "null", "Null", "NULL"}
_INT = re.compile(r"[-+]?(0b[01]+|0o?[0-7]+|0x[0-9a-fA-F]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_JSON = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")
_INT64 = range(-(2**63), 2**63)
_MERGE = "<<"
_OF_YAML = re.compile(r"!|tag:yaml\.org,2002:(binary|bool|float|int|map|null|seq|str|timestamp)")
_PLAIN = "plain"
_TAGGED = "tagged"


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file. ``lines`` gives the line of a path, counted from 1."""

    value: Any
    line: int
    lines: dict[Path, int] = field(repr=False)

    def line_of(self, path: Path) -> int:
        """The line of a path, or of the nearest thing around it that is in the file."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return self.line


class Unreadable(Exception):
    """A file that is no YAML; ``line`` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_documents(text: str) -> Iterator[Document]:
    """The documents of a file, empty ones left out. Raises Unreadable where it stops being YAML."""
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            reader = _Reader()
            value = reader.read(node, ())
            if value is not None:
                yield Document(value, _line(node), reader.lines)
    except RecursionError:
        raise Unreadable(1, f"too deep: lists and maps in each other go {_MAX_DEPTH} deep at most") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(part for part in (error.context, error.problem) if part)
        raise Unreadable(mark.line + 1 if mark else 1, f"not YAML: {words}") from None
    except yaml.YAMLError as error:
        raise Unreadable(1, f"not YAML: {' '.join(str(error).split())}") from None


class _Loader(yaml.SafeLoader):
    """Marks plain scalars, whose meaning ``_Reader`` decides."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        return _PLAIN if kind is yaml.ScalarNode and implicit[0] else _TAGGED


class _Reader:
    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self._values = 0

    def read(self, node: yaml.Node, path: Path) -> Any:
        self._values += 1
        if self._values > MAX_VALUES or len(path) > _MAX_DEPTH:
            raise Unreadable(_line(node), "too large: its aliases make too many values of it")
        if node.tag not in (_PLAIN, _TAGGED) and not _OF_YAML.fullmatch(node.tag):
            raise Unreadable(_line(node), f"the tag {node.tag} means nothing here; remove it")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.lines[*path, index] = _line(item)
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise Unreadable(_line(key_node), "a key must be a word, not a list or a map")
            key = _key(key_node)
            if key == _MERGE and key_node.tag == _PLAIN:
                merged = self._merged(value_node, path) | merged
                continue
            if key in result:
                raise Unreadable(_line(key_node), f'key "{key}" already set in map; remove one of the two')
            self.lines[*path, key] = _line(key_node)
            result[key] = self.read(value_node, (*path, key))
        return merged | result

    def _merged(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        """The maps behind ``<<``; the first of a list wins."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for part in parts:
            value = self.read(part, path)
            if not isinstance(value, dict):
                raise Unreadable(_line(part), "<< must name a map, or a list of maps")
            result = value | result
        return result


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _key(node: yaml.Node) -> str:
    value = _scalar(node)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _scalar(node: yaml.Node) -> Any:
    text: str = node.value
    if node.tag != _PLAIN:
        return _whole_characters(text, node)
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text in _NULL:
        return None
    if _NOT_JSON.match(text):
        raise Unreadable(_line(node), f"{text} is no number that JSON knows")
    number = text.replace("_", "")
    if _INT.match(number):
        return _fitting(_integer(number))
    if _FLOAT.match(number):
        value = float(number)
        if math.isinf(value):
            raise Unreadable(_line(node), f"{text} is too large a number")
        return _fitting(int(value)) if value == int(value) and abs(value) < 1e21 else value
    return text


def _whole_characters(text: str, node: yaml.Node) -> str:
    """JSON writes characters beyond 16 bits as two escapes, which PyYAML leaves apart."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise Unreadable(_line(node), "half a character: an escape such as \\ud83d needs its second half") from None


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    value = int(digits, 0) if digits[:2] in ("0b", "0o", "0x") else int(digits, 8 if digits[0] == "0" else 10)
    return -value if text.startswith("-") else value


def _fitting(value: int) -> int | float:
    """Integers beyond 64 bits arrive at the API server as floats."""
    return value if value in _INT64 else float(value)
