"""What a template may say: expressions, conditions and loops over what it is given, and nothing that reaches further.

Everything that is not on these lists is refused when the template is read, before anything runs.
"""

from collections.abc import Iterator

from jinja2 import nodes

from taskfleet.parallel.dollars import shown

FILTERS = frozenset(
    (
        *("abs", "capitalize", "count", "default", "d", "dictsort", "first", "float", "fromjson", "int", "items"),
        *("join", "last", "length", "list", "lower", "map", "max", "min", "pieces", "reject", "rejectattr", "replace"),
        *("reverse", "round", "select", "selectattr", "sort", "string", "sum", "title", "tojson", "trim", "truncate"),
        *("unique", "upper", "urlencode", "urls", "wordcount"),
    )
)
TESTS = frozenset(
    (
        *("boolean", "defined", "divisibleby", "eq", "equalto", "==", "even", "false", "float", "ge", ">=", "gt", ">"),
        *(
            "greaterthan",
            "in",
            "integer",
            "iterable",
            "le",
            "<=",
            "lessthan",
            "lower",
            "lt",
            "<",
            "mapping",
            "ne",
            "!=",
        ),
        *("none", "number", "odd", "sequence", "string", "true", "undefined", "upper"),
    )
)
METHODS = frozenset(
    (
        *("endswith", "get", "isdigit", "items", "keys", "lower", "lstrip", "rstrip", "split", "splitlines"),
        *("startswith", "strip", "title", "upper", "values"),
    )
)
GLOBALS = frozenset(("range",))
_WORDS: dict[type[nodes.Node], str] = {
    nodes.Assign: "set",
    nodes.AssignBlock: "set",
    nodes.Block: "block",
    nodes.CallBlock: "call",
    nodes.Extends: "extends",
    nodes.FilterBlock: "filter",
    nodes.FromImport: "from",
    nodes.Import: "import",
    nodes.Include: "include",
    nodes.Macro: "macro",
    nodes.With: "with",
    nodes.Pow: "**",
}
_PLAIN = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem),
    *(nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.Pos, nodes.Concat),
    *(nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Slice, nodes.If, nodes.For, nodes.Call, nodes.Keyword),
)


def refusals(template: nodes.Node) -> Iterator[str]:
    """Why a template is none, a sentence for each thing that it must not say."""
    for node in template.iter_child_nodes():
        if reason := _refusal(node):
            yield shown(reason)
        yield from refusals(node)


def _refusal(node: nodes.Node) -> str:
    match node:
        case nodes.Getattr(attr=name) if name.startswith("_"):
            return f"the attribute {name} is forbidden: names that begin with _ are not for templates"
        case nodes.Getitem(arg=nodes.Const(value=str(name))) if name.startswith("__"):
            return f"the key {name} is forbidden: names that begin with __ are not for templates"
        case nodes.Filter(name=name) if name not in FILTERS:
            return f"there is no filter {name}; there are {', '.join(sorted(FILTERS))}"
        case nodes.Test(name=name) if name not in TESTS:
            return f"there is no test {name}; there are {', '.join(sorted(TESTS))}"
        case nodes.Call():
            return _call(node)
        case nodes.For(recursive=True):
            return "a recursive loop is forbidden; write plain ones"
    if not isinstance(node, _PLAIN):
        word = _WORDS.get(type(node), type(node).__name__.lower())
        return f"{word} is forbidden in templates; there are expressions, if and for"
    return ""


def _call(node: nodes.Call) -> str:
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        return "arguments with * are forbidden"
    match node.node:
        case nodes.Name(name=name) if name in GLOBALS:
            return ""
        case nodes.Getattr(attr=name) if name in METHODS:
            return ""
        case nodes.Name(name=name) | nodes.Getattr(attr=name):
            return f"{name}() is forbidden; there are {', '.join(sorted(GLOBALS | METHODS))}, and filters"
    return "only functions and methods with a name can be called"
