"""A condition of an item: an expression, or a sentence that a model judges."""

from collections.abc import Mapping
from typing import Any

from taskfleet.api.pipelinerules import auto
from taskfleet.parallel.asking import ByTasks, Question, ask
from taskfleet.parallel.digest import judgement, of_item
from taskfleet.parallel.field import Field
from taskfleet.parallel.forms import HOLDS
from taskfleet.parallel.manners import Manners
from taskfleet.parallel.templates import Compiled, Names, expression, template


class Condition:
    """``asks``: a model judges it."""

    def __init__(self, source: str, field: Field, model: str | None, manners: Manners) -> None:
        asked = auto(source)
        self.asks = asked is not None
        self.compiled: Compiled = expression(source) if asked is None else template(asked)
        self.field = field
        self._model = model
        self._manners = manners

    @classmethod
    def read(cls, source: str | None, field: Field, model: str | None, manners: Manners) -> "Condition | None":
        return None if source is None else cls(source, field, model, manners)

    def holds(self, names: Names, known: Mapping[str, Any]) -> ByTasks[bool]:
        """Of an item; a model is told of it and of what its steps came to (``known``). Raises InputError, NoAnswer."""
        found = self.compiled.render(names, self.field)
        if not self.asks:
            return bool(found)
        return (yield from self.judged(str(found), of_item(names["$item"], known)))

    def judged(self, words: str, told: str) -> ByTasks[bool]:
        """Whether a model takes it to hold, by what it is told. Raises NoAnswer."""
        return (yield from ask(Question(self.field, judgement(words, told), self._model), HOLDS, self._manners))
