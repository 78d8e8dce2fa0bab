"""Which of a queue's models a requested name means, and why.

The rule, in this order; the first that finds one decides, and of several models the first in the queue's list:

1. no name: the queue's default; 2. the exact name of a model; 3. an alias; 4. a tag;
5. a word of ``MEANINGS``, such as ``fast``: a model with a tag of that meaning, then one with such a word in its name,
   then one with such a word in its description.

Anything else is refused. Names, aliases and tags count letter by letter; the words of step 5 in any case.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from taskfleet.core.errors import UnknownModel

MEANINGS: Mapping[str, frozenset[str]] = {
    "fast": frozenset(("fast", "quick", "small", "mini", "tiny", "nano", "flash", "turbo", "instant")),
    "cheap": frozenset(("cheap", "small", "mini", "tiny", "nano")),
    "smart": frozenset(("smart", "large", "big", "strong", "best", "pro")),
    "coding": frozenset(("coding", "code", "coder", "programming")),
    "reasoning": frozenset(("reasoning", "reason", "reasoner", "thinking", "think", "qwq", "r1", "o1", "o3", "o4")),
    "vision": frozenset(("vision", "image", "images", "vl", "multimodal")),
    "chat": frozenset(("chat", "instruct", "conversation")),
}
"""What a word stands for when no name, alias or tag is that word."""

_WORD = re.compile(r"(?<![a-z0-9])[a-z]\d(?![a-z0-9])|[a-z]+")  # such as the r1 of deepseek-r1


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model that a queue offers: its name and aliases are names for it, its tags and description say what it is."""

    name: str
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The model for a requested name: ``step`` is a word for machines, ``why`` a sentence for people."""

    model: str
    step: str
    why: str


def explain_model(requested: str | None, offered: Sequence[OfferedModel], default: str) -> Resolved:
    """The model for a requested name, and why it is that one. Raises UnknownModel with the names on offer."""
    if requested is None:
        return Resolved(default, "default", f"no model was asked for: {default} is the queue's default")
    for step, words, means in _steps(requested):
        for model in offered:
            if means(model):
                return Resolved(model.name, step, f"{words} {model.name}")
    names = ", ".join(_all_names(offered))
    raise UnknownModel(f"model: {requested!r} is not offered by this queue; it offers: {names}")


def resolve_model(requested: str | None, offered: Sequence[OfferedModel], default: str) -> str:
    """The lane for a requested name. Raises UnknownModel with the names on offer."""
    return explain_model(requested, offered, default).model


def _steps(requested: str) -> list[tuple[str, str, Callable[[OfferedModel], bool]]]:
    exact: list[tuple[str, str, Callable[[OfferedModel], bool]]] = [
        ("name", "it is the name of", lambda model: model.name == requested),
        ("alias", f"{requested} is an alias of", lambda model: requested in model.aliases),
        ("tag", f"{requested} is a tag of", lambda model: requested in model.tags),
    ]
    meaning = MEANINGS.get(requested.lower())
    if meaning is None:
        return exact
    means = f"{requested} stands for {', '.join(sorted(meaning))}, which"
    return [
        *exact,
        ("meaning", f"{means} is among the tags of", lambda model: _any_word(meaning, " ".join(model.tags))),
        ("meaning", f"{means} is in the name of", lambda model: _any_word(meaning, model.name)),
        ("meaning", f"{means} is in the description of", lambda model: _any_word(meaning, model.description)),
    ]


def _any_word(meaning: frozenset[str], text: str) -> bool:
    return not meaning.isdisjoint(_WORD.findall(text.lower()))


def _all_names(offered: Sequence[OfferedModel]) -> list[str]:
    """Each once, as a tag may be that of several models."""
    return list(dict.fromkeys(name for model in offered for name in (model.name, *model.aliases, *model.tags)))
