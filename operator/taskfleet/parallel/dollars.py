"""``$item`` and its like in templates: names that no input or step can have. Jinja knows no such names, so that each is
written another way before it is parsed, and shown again as it was in what Jinja says. Pure."""

import re
from collections.abc import Iterator

_MARK = "_dollar_"
_BLOCK_ENDS = {"{{": "}}", "{%": "%}"}
_OPENING = re.compile(r"(?P<verbatim>\{#.*?(?:#\}|$)|\{%-?\s*raw\s*-?%\}.*?(?:\{%-?\s*endraw|$))|\{\{|\{%", re.DOTALL)
_PIECE = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\$([A-Za-z]\w*)|\}\}|%\}|.""", re.DOTALL)


def mangled(name: str) -> str:
    """What Jinja calls ``$name``."""
    return _MARK + name


def shown(text: str) -> str:
    """Names as people wrote them."""
    return text.replace(_MARK, "$")


def in_template(source: str) -> str:
    """A template with the names inside its ``{{ }}`` and ``{% %}`` written for Jinja; other text keeps its dollars."""
    return "".join(_parts(source))


def in_expression(source: str) -> str:
    """The same of a single expression."""
    return "".join(_written(found) for found in _PIECE.finditer(source))


def _written(found: re.Match[str]) -> str:
    return mangled(found[1]) if found[1] else found[0]


def _parts(source: str) -> Iterator[str]:
    at = 0
    while opening := _OPENING.search(source, at):
        yield source[at : opening.end()]
        at = opening.end()
        if opening["verbatim"]:
            continue
        for found in _PIECE.finditer(source, at):
            at = found.end()
            yield _written(found)
            if found[0] == _BLOCK_ENDS[opening[0]]:
                break
        else:
            at = len(source)
    yield source[at:]
