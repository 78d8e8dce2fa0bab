"""The condition that ends a loop inside an item: looked at whenever one of its own items has ended."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from taskfleet.core.errors import InputError
from taskfleet.core.parallel.moves import Stop
from taskfleet.core.parallel.rules import OnUntil, RunState
from taskfleet.core.parallel.tally import Tally
from taskfleet.parallel.field import Field
from taskfleet.parallel.sofar import so_far
from taskfleet.parallel.templates import Compiled, Names


@dataclass(frozen=True, slots=True)
class Ending:
    condition: Compiled
    field: Field
    running: OnUntil

    def stop(self, names: Names, tally: Tally, lines: Iterable[Mapping[str, Any]], seconds: float) -> Stop | None:
        """How the loop is to end, where it is to. ``names``: those around it; ``lines``: its results."""
        try:
            if not self.condition.render({**names, **so_far(tally, lines, seconds)}, self.field):
                return None
        except InputError as error:
            return Stop(RunState.FAILED, str(error), OnUntil.FINISH)
        return Stop(RunState.COMPLETED, f"{self.field} holds", self.running)
