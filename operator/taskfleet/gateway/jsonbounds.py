"""How much a text in JSON may become in memory: a few bytes of it can be an object of some hundred. Pure."""

import re
from itertools import islice

from taskfleet.core.errors import InputError

MAX_VALUES = 1_000_000
_MARKS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|([,\[{])', re.DOTALL)


def check_values(raw: bytes) -> None:
    """Raise InputError when there are more values in it than are taken; commas and brackets in strings are none."""
    if len(raw) > MAX_VALUES and sum(map(raw.count, (b",", b"[", b"{"))) > MAX_VALUES:
        marks = (1 for found in _MARKS.finditer(raw) if found[1])
        if next(islice(marks, MAX_VALUES, None), None):
            raise InputError(f"body: it has more than {MAX_VALUES:,} values; send them in parts")
