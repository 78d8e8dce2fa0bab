"""A field of a parallel queue as errors name it: with file and line on a laptop, as the kind has it on a cluster."""

from collections.abc import Callable
from dataclasses import dataclass

from taskfleet.api.fielderrors import Path, field_name

Naming = Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class Field:
    """``naming`` says what a path is called. It is asked where there is an error, and not before."""

    path: Path = ()
    naming: Naming = field_name

    def at(self, *steps: str | int) -> "Field":
        """A field inside this one."""
        return Field((*self.path, *steps), self.naming)

    def __str__(self) -> str:
        return self.naming(self.path)
