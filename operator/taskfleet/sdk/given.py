"""Checks of what a caller gives, before anything is done with it: a sentence that names the argument and the fix."""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar

from taskfleet.core.errors import InputError, InvalidTask
from taskfleet.core.pool import Strategy
from taskfleet.core.task import Priority, QueueKey

MOST_WORKERS = 1024
LONGEST_DELAY = 8760 * 3600.0
_DEEPEST = 100

T = TypeVar("T")

_STRATEGIES = {strategy.name.lower(): strategy for strategy in Strategy}


def seconds(name: str, value: object) -> float | None:
    """A time to wait: None is for ever, 0 is to look once."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not (value >= 0):
        raise InputError(f"{name}: {value!r} is not a time to wait; give seconds from 0 on, or None to wait for ever")
    return None if math.isinf(value) else float(value)


def workers(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_WORKERS:
        raise InputError(
            f"max_workers: {value!r} is not a number of calls at once; give a whole number from 1 to {MOST_WORKERS}"
        )
    return value


def count(name: str, value: object, of: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name}: {value!r} is not a number of {of}; give a whole number from 1 on")
    return value


def strategy(value: object) -> Strategy:
    """``fastest``, ``least_loaded`` ..., or as a WorkerPool writes it: ``LeastLoaded``."""
    if isinstance(value, Strategy):
        return value
    by_word = {word.replace("_", ""): found for word, found in _STRATEGIES.items()}
    found = by_word.get(value.lower().replace("_", "")) if isinstance(value, str) else None
    if found is None:
        raise InputError(f"strategy: {value!r} is none of {', '.join(_STRATEGIES)}")
    return found


def priority(value: object) -> Priority:
    """A Priority, its word or its number."""
    if isinstance(value, str) and value.upper() in Priority.__members__:
        return Priority[value.upper()]
    if isinstance(value, int) and not isinstance(value, bool) and value in Priority.__members__.values():
        return Priority(value)
    words = ", ".join(each.label for each in Priority)
    raise InvalidTask(f"priority: {value!r} is none of {words}; give one of these words or a TaskPriority")


def task_id(value: object) -> str:
    if isinstance(value, str) and value:
        _whole_text("task_id", value)
        return value
    trouble = "it is empty" if value == "" else f"{value!r} is not a string"
    raise InputError(f"task_id: {trouble}; give the id that submit returned")


def text(name: str, value: object, instead: str) -> str | None:
    """A name that is no empty or broken text, or None. ``instead``: what to give."""
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        trouble = "it is empty" if value == "" else f"{value!r} is not a string"
        raise InputError(f"{name}: {trouble}; {instead}")
    _whole_text(name, value)
    return value


def path(name: str, value: object) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str | PathLike) or not isinstance(fspath(value), str):
        raise InputError(f"{name}: {value!r} is not a path; give a string or a pathlib.Path")
    return Path(value)


def rows_of(name: str, value: Iterable[T], instead: str) -> Iterable[T]:
    """What can be gone through; a text can, and its letters are never meant."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise InputError(f"{name}: {value!r:.60} is no list; {instead}")
    return value


def fields(name: str, value: object) -> dict[str, Any] | None:
    """A dict, a copy of it, or None."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidTask(f"{name}: {value!r:.60} is not a dict; give its fields by their names")
    return dict(value)


def queue_key(value: str) -> QueueKey:
    try:
        return QueueKey.parse(value)
    except (ValueError, AttributeError):
        raise InputError(f"queue: {value!r} is not a queue; write namespace/name, such as default/demo") from None


def delay(value: float | None) -> str | None:
    """A delay in seconds as a task line has it."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_DELAY:
        raise InvalidTask(f"delay: {value!r} is not a delay; give seconds from 0 to {LONGEST_DELAY:.0f} (a year)")
    return f"{round(value * 1000)}ms"


def moment(name: str, value: datetime | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidTask(
            f"{name}: {value!r} is not a moment; give a datetime with its zone, such as "
            "datetime.now(UTC) + timedelta(hours=1)"
        )
    return value.isoformat(timespec="milliseconds")


def plain(name: str, value: Any, depth: int = 0) -> None:
    """Raise InvalidTask unless ``value`` is what orjson writes, whole: no NaN, bytes, sets or half characters, and
    nothing that is derived from float (as NumPy's numbers are) or tuple."""
    if value is None or isinstance(value, bool):
        return
    if depth > _DEEPEST:
        raise InvalidTask(f"{name}: it is nested more than {_DEEPEST} deep (or holds itself); make it flatter")
    if isinstance(value, str):
        _whole_text(name, value)
    elif isinstance(value, int) or type(value) is float:
        _number(name, value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _key(name, key)
            plain(f"{name}.{key}", inner, depth + 1)
    elif isinstance(value, list) or type(value) is tuple:
        for index, inner in enumerate(value):
            plain(f"{name}[{index}]", inner, depth + 1)
    else:
        raise InvalidTask(
            f"{name}: a {type(value).__name__} cannot be written as JSON; give text, numbers, lists and dicts"
        )


def _key(name: str, key: object) -> None:
    if type(key) is not str:
        raise InvalidTask(f"{name}: the key {key!r} is not a string; JSON has only strings as keys")
    _whole_text(name, key)


def _number(name: str, value: float) -> None:
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise InvalidTask(f"{name}: {value} has more than 64 bits; give a smaller number, or write it as text")
    elif not math.isfinite(value):
        raise InvalidTask(f"{name}: {value} is not a number in JSON; give a finite number or None")


def _whole_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidTask(
            f"{name}: character {error.start + 1} is half of a surrogate pair ({text[error.start]!a}) and no text; "
            "read the text with the right encoding, or remove it: text.encode(errors='ignore').decode()"
        ) from None
