"""The items that a model is asked to list. Where it lists what a text has, it must not make up addresses: those that it
names are looked up in that text. Pure.
"""

from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

import orjson

from taskfleet.parallel.addresses import addresses
from taskfleet.parallel.manners import Form

MAX_ASKED = 10_000
_MAX_CHOICE = 200  # addresses among which a model is told to choose: servers bound their schemas
_WORDS = (
    "Answer with a JSON array of what is asked for, and nothing else: no explanation, no code fence. Each element is a "
    "string, a number or an object; [] if there is none."
)
_EXAMPLES = (
    ("list two metals", '["iron", "gold"]'),
    (
        "extract every link in See https://a.example/x, or [this](http://b.example:80/y?z=1).",
        '["https://a.example/x", "http://b.example:80/y?z=1"]',
    ),
)


def listing(asked: str, own_words: str) -> Form[list[Any]]:
    """The form of the items for a question. ``own_words``: its template. Whoever writes an address there may want
    others that are like it; one that a document brought is there to be found."""
    known = () if any(addresses(own_words)) else tuple(dict.fromkeys(addresses(asked)))
    return _form({"type": ["string", "number", "object"]}, known, partial(_chosen, known))


def _form(element: Any, known: Collection[str], after: Any = None, **bounds: int) -> Form[list[Any]]:
    schema = {"type": "array", "items": element, **bounds}
    return Form("items", _WORDS, schema, partial(_read, known), examples=_EXAMPLES, after=after)


def _chosen(known: Collection[str], answer: str) -> Form[list[Any]] | None:
    """Addresses went wrong: then a server that keeps to schemas lets the model name only those that there are."""
    if "{" in answer or not any(addresses(answer)) or not 0 < len(known) <= _MAX_CHOICE:
        return None
    return _form({"enum": [*known]}, known, maxItems=len(known))


def _read(known: Collection[str], found: Any) -> list[Any]:
    items = found["items"] if isinstance(found, dict) and [*found] == ["items"] else found
    if not isinstance(items, list):
        raise ValueError("it is JSON, but no array")  # noqa: TRY004 - what a model wrote
    for element in items:
        if isinstance(element, bool) or not isinstance(element, str | int | float | dict) or element in ("", {}):
            raise ValueError(f"its element {str(element)[:40]!r} is no text, number or object")
    once = list({orjson.dumps(element): element for element in items}.values())
    if len(once) > MAX_ASKED:
        raise ValueError(f"it has more than {MAX_ASKED} elements")
    for address in _named(once) if known else ():
        if not any(_is_of(address.rstrip("/"), each) for each in known):
            raise ValueError(f"{address[:200]} is not in the text; take addresses from there, as they are")
    return once


def _named(value: Any) -> Iterator[str]:
    """The texts in it that are addresses."""
    match value:
        case str() if value.lower().startswith(("http://", "https://")):
            yield value
        case dict() | list():
            for part in value.values() if isinstance(value, dict) else value:
                yield from _named(part)


def _is_of(address: str, known: str) -> bool:
    """Whether it is one of a text, or the beginning of one, such as its host."""
    return known.startswith(address) and known[len(address) : len(address) + 1] in ("", "/", "?", "#")
