"""The environment of templates: Jinja's own sandbox, less than its language, and a budget for all that repeats."""

import json
from collections.abc import Callable, Iterable, Sized
from functools import wraps
from itertools import pairwise
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS as JINJA_TESTS
from jinja2.visitor import NodeTransformer

from taskfleet.parallel.addresses import addresses
from taskfleet.parallel.budget import Refused, TooMuch, charge, check_text, counted
from taskfleet.parallel.language import FILTERS, TESTS
from taskfleet.parallel.stepresult import StepResult

MAX_RANGE = 100_000
_COUNTED, _JOINED, _MADE = "counted_values", "joined_texts", "made_value"  # not in ``FILTERS``: not for templates


class Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("*", "+", "%"))

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=False, finalize=_as_text, keep_trailing_newline=True)
        own: dict[str, Callable[..., Any]] = {
            "fromjson": _fromjson,
            "join": _join,
            "pieces": _pieces,
            "replace": _replace,
            "sum": _sum,
            "tojson": _tojson,
            "urls": _urls,
        }
        jinja: dict[str, Callable[..., Any]] = JINJA_FILTERS
        self.filters = {name: _charged(own.get(name) or jinja[name]) for name in FILTERS}
        self.filters |= {_COUNTED: counted, _JOINED: _charged(_joined), _MADE: _made}
        self.tests = {name: JINJA_TESTS[name] for name in TESTS}
        self.globals = {"range": _range}

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic is of numbers; only ``+`` joins texts and lists."""
        if operator == "+":
            if isinstance(left, str) and isinstance(right, str):
                check_text(len(left) + len(right))
                charge(_cost(left) + _cost(right))
            elif isinstance(left, list) and isinstance(right, list):
                charge(len(left) + len(right))
        elif not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise Refused(f"{operator} is for numbers")
        return super().call_binop(context, operator, left, right)


class Bounded(NodeTransformer):
    """Has loops charge, and all that makes a text or a list."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja's way
        self.generic_visit(node)
        node.iter = _through(_COUNTED, node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through(_JOINED, nodes.List(node.nodes, lineno=node.lineno))

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through(_MADE, node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through(_MADE, node) if isinstance(node.arg, nodes.Slice) else node


def _through(name: str, node: nodes.Node) -> nodes.Filter:
    assert isinstance(node, nodes.Expr)
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _charged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that costs as much as what it is given, and what it makes of that, is long."""
    takes_more = hasattr(function, "jinja_pass_arg")

    @wraps(function)
    def charging(*arguments: Any, **options: Any) -> Any:
        value = arguments[1] if takes_more and len(arguments) > 1 else arguments[0]
        charge(_cost(value))
        return _made(function(*arguments, **options))

    return charging


def _made(value: Any) -> Any:
    charge(_cost(value))
    return value


def _cost(value: Any) -> int:
    if isinstance(value, str):
        return 1 + len(value) // 16
    return 1 + len(value) if isinstance(value, Sized) and not isinstance(value, Undefined | range) else 1


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > MAX_RANGE:
        raise TooMuch(f"a range of {len(found):,} is too long: at most {MAX_RANGE:,}")
    return found


def _as_text(value: Any) -> Any:
    """What a template prints: JSON for what is neither text nor number."""
    if isinstance(value, str | Undefined | StepResult):
        return value
    return _tojson(value)


def _tojson(value: Any, indent: int | None = None) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, indent=min(indent, 8) if indent is not None else None)
    except (TypeError, ValueError) as error:
        raise Refused(f"a value cannot be written as JSON ({error}); add |list where it is a sequence") from None
    check_text(len(text))
    return text


def _fromjson(value: Any) -> Any:
    try:
        return json.loads(str(value))
    except (ValueError, RecursionError) as error:
        raise Refused(f"fromjson: {str(value)[:60]!r} is not JSON: {error}") from None


def _joined(values: Iterable[Any]) -> str:
    return _join(values)


def _join(values: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    parts: list[str] = []
    size = 0
    for value in counted(values):
        text = str(_as_text(value if attribute is None else value[attribute]))
        size += len(text) + len(d)
        check_text(size)
        parts.append(text)
    return d.join(parts)


def _sum(values: Iterable[Any], attribute: str | None = None) -> float:
    """Jinja's own may start from a list, and takes a time that grows with the square of its length."""
    total = 0.0
    for value in counted(values):
        number = value if attribute is None else value[attribute]
        if not isinstance(number, int | float):
            raise Refused(f"sum: {str(number)[:60]!r} is not a number")
        total += number
    return int(total) if total.is_integer() else total


def _urls(value: Any) -> list[str]:
    return list(dict.fromkeys(counted(addresses(str(value)))))


def _pieces(value: Any, size: Any = None) -> list[str]:
    """A text in pieces of at most so many characters, cut between lines where no line is longer; without space at both
    ends."""
    if not isinstance(size, int) or size < 1:
        raise Refused("pieces: of how many characters? Give one or more, as pieces(4000)")
    text, begins, end = str(value), [0], 0
    for line in counted(text.splitlines(keepends=True)):
        for at in counted(range(0, len(line), size)):
            part = len(line[at : at + size])
            if end + part - begins[-1] > size:
                begins.append(end)
            end += part
    pieces = (text[begin:until] for begin, until in pairwise([*begins, end]))
    return [stripped for piece in pieces if (stripped := piece.strip())]


def _replace(value: Any, old: str, new: str, count: int = -1) -> str:
    text = str(value)
    found = text.count(old) if count < 0 else min(count, text.count(old))
    check_text(len(text) + found * len(new))
    return text.replace(old, new, count)
