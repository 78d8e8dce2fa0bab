"""Which of a queue's models a requested name means."""

from collections.abc import Sequence
from dataclasses import dataclass

from taskfleet.core.errors import UnknownModel


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model that a queue offers, under its name and any alias."""

    name: str
    aliases: tuple[str, ...] = ()


def resolve_model(requested: str | None, offered: Sequence[OfferedModel], default: str) -> str:
    """The lane for a requested name: exact names win over aliases; None means the default.

    Raises UnknownModel with the names on offer.
    """
    if requested is None:
        return default
    for model in offered:
        if model.name == requested:
            return model.name
    for model in offered:
        if requested in model.aliases:
            return model.name
    names = ", ".join(name for model in offered for name in (model.name, *model.aliases))
    raise UnknownModel(f"model: {requested!r} is not offered by this queue; it offers: {names}")
