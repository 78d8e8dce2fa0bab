"""Templates: read once, with all that can be known then, and rendered for each item within bounds."""

from collections.abc import Callable, Collection, Iterator, Mapping, MappingView
from typing import Any

import jinja2
import orjson
from jinja2 import meta, nodes
from jinja2.parser import Parser
from jinja2.runtime import Context

from taskfleet.core.errors import InputError
from taskfleet.parallel.budget import CURRENT, Budget, Refused, TooMuch, check_text, counted
from taskfleet.parallel.dollars import in_expression, in_template, mangled, shown
from taskfleet.parallel.field import Field
from taskfleet.parallel.language import GLOBALS, refusals
from taskfleet.parallel.sandbox import Bounded, Environment

_ENVIRONMENT = Environment()
_RESULT = "expression_result"
Names = Mapping[str, Any]


class Compiled:
    """A template or, ``as_value``, an expression that can be rendered. ``names``: what it uses, as people write them;
    ``attributes``: pairs of a name and what is asked of it."""

    def __init__(self, tree: nodes.Template, *, as_value: bool) -> None:
        self.names = frozenset(shown(name) for name in meta.find_undeclared_variables(tree)) - GLOBALS
        self.attributes = frozenset(
            (shown(found.node.name), found.attr)
            for found in tree.find_all(nodes.Getattr)
            if isinstance(found.node, nodes.Name)
        )
        self._called = {name: mangled(name[1:]) if name.startswith("$") else name for name in self.names}
        bounded = Bounded().visit(tree)
        self._produce = _value if as_value else _text
        self._template = _compiled(_kept(bounded) if as_value else bounded)
        self._context = self._template.new_context({}, shared=True)  # one for all: to make it costs as much as all else

    def render(self, values: Names, field: Field) -> Any:
        """The text, or the value of an expression. Raises InputError, which names ``field``."""
        own = {called: values[name] for name, called in self._called.items() if name in values}
        own.update(_ENVIRONMENT.globals)
        token = CURRENT.set(Budget())
        try:
            self._context.parent = own
            return self._produce(self._template, self._context)
        except Refused as error:
            raise InputError(f"{field}: {error}") from None
        except MemoryError:
            raise InputError(f"{field}: its values are too large") from None
        except Exception as error:
            raise InputError(f"{field}: {shown(str(error)) or type(error).__name__}") from None
        finally:
            CURRENT.reset(token)

    def too_much(self) -> str:
        """Why it is refused whatever its names stand for: it repeats too often, or grows too large. "" where that is
        not to be known before it has values."""
        nothing: dict[str, Any] = {called: jinja2.ChainableUndefined(name=called) for called in self._called.values()}
        token = CURRENT.set(Budget())
        try:
            self._context.parent = {**nothing, **_ENVIRONMENT.globals}
            self._produce(self._template, self._context)
        except TooMuch as error:
            return str(error)
        except Exception:
            return ""  # it wants values
        finally:
            CURRENT.reset(token)
        return ""


def template(source: str) -> Compiled:
    """A text with expressions in it. Raises InputError with every reason why it is none."""
    return _read(lambda: _ENVIRONMENT.parse(in_template(source)), as_value=False)


def expression(source: str) -> Compiled:
    """The value of ``{{ ... }}``, which must be all that there is. Raises InputError."""
    inside = only_expression(source)
    if inside is None:
        raise InputError(f"{source.strip()[:60]!r} is not an expression; write one, as {{{{ $index < 10 }}}}")
    return _read(lambda: _tree_of(inside), as_value=True)


def value(source: str) -> Compiled:
    """What an argument is: the value of an expression that stands alone, or else a text."""
    inside = only_expression(source)
    return template(source) if inside is None else expression(source)


def only_expression(source: str) -> str | None:
    """What stands between the braces when nothing stands outside them; None otherwise."""
    text = source.strip()
    if not (text.startswith("{{") and text.endswith("}}") and len(text) >= 4):
        return None
    try:
        tokens = list(_ENVIRONMENT.lex(in_template(text)))
    except jinja2.TemplateSyntaxError:
        return text[2:-2]  # its reading says what is wrong
    return text[2:-2] if sum(kind == "variable_begin" for _, kind, _ in tokens) == 1 else None


def unknown_names(compiled: Compiled, known: Collection[str]) -> list[str]:
    """A sentence for each name that a template uses and that nothing gives it."""
    missing = sorted(compiled.names - set(known))
    return [f"{name} is not known here; there are {', '.join(sorted(known)) or 'no names'}" for name in missing]


def _read(parse: Callable[[], nodes.Template], *, as_value: bool) -> Compiled:
    try:
        tree = parse()
        reasons = list(dict.fromkeys(refusals(tree)))
        if not reasons:
            return Compiled(tree, as_value=as_value)
    except jinja2.TemplateSyntaxError as error:
        line = f" (line {error.lineno} of the text)" if error.lineno > 1 else ""
        raise InputError(f"not a template: {shown(error.message or 'it cannot be read')}{line}") from None
    except (RecursionError, MemoryError, SyntaxError):  # Jinja's reader, or Python's, of what Jinja makes of it
        raise InputError("not a template: it is nested too deep") from None
    raise InputError("; ".join(reasons))


def _tree_of(source: str) -> nodes.Template:
    parser = Parser(_ENVIRONMENT, in_expression(source), state="variable")
    found = parser.parse_expression()
    if not parser.stream.eos:
        token = parser.stream.current
        raise jinja2.TemplateSyntaxError(f"{token.value!r} is not expected here", token.lineno)
    return _whole(nodes.Output([found], lineno=1))


def _kept(tree: nodes.Template) -> nodes.Template:
    """The same with its value kept under a name instead of printed."""
    (output,) = tree.body
    assert isinstance(output, nodes.Output)
    keep = nodes.Assign(nodes.Name(_RESULT, "store", lineno=1), output.nodes[0], lineno=1)
    return _whole(keep)


def _whole(statement: nodes.Stmt) -> nodes.Template:
    tree = nodes.Template([statement], lineno=1)
    tree.set_environment(_ENVIRONMENT)
    return tree


def _compiled(tree: nodes.Template) -> jinja2.Template:
    code = _ENVIRONMENT.compile(tree)
    return jinja2.Template.from_code(_ENVIRONMENT, code, _ENVIRONMENT.make_globals(None))


def _text(compiled: jinja2.Template, context: Context) -> str:
    parts: list[str] = []
    size = 0
    for part in compiled.root_render_func(context):
        size += len(part)
        check_text(size)
        parts.append(part)
    text = "".join(parts)
    text.encode()  # it raises at half a character
    return text


def _value(compiled: jinja2.Template, context: Context) -> Any:
    for _ in compiled.root_render_func(context):
        pass
    found = context.vars.pop(_RESULT)
    if isinstance(found, jinja2.Undefined):
        str(found)  # raises what it is for want of
    if isinstance(found, Iterator | range | tuple | MappingView):
        found = list(counted(found))  # type: ignore[arg-type]  # a view of a map is gone through as well
    try:
        orjson.dumps(found)
    except TypeError as error:
        raise Refused(f"its value is nothing that JSON has: {error}") from None
    return found
