"""Durations ("1m30s") and sizes ("1Mi") as manifests write them, and back again."""

import re

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_UNIT_BYTES = {"": 1, "Ki": 1024, "Mi": 1024 * 1024}
_DURATION = re.compile(DURATION_PATTERN)
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SIZE = re.compile(r"^([0-9]+)(Ki|Mi)?$")


def parse_duration(text: str) -> float:
    """Seconds in a duration such as ``90s``, ``1m30s`` or ``250ms``; ValueError when it is not one."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; write a number with a unit, such as 30s, 1m30s or 250ms")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def parse_size(value: int | str) -> int:
    """Bytes in a size such as ``1048576``, ``512Ki`` or ``1Mi``; ValueError when it is not one."""
    match = _SIZE.fullmatch(str(value))
    if match is None:
        raise ValueError(f"{value!r} is not a size; write bytes or a number with Ki or Mi, such as 512Ki")
    return int(match[1]) * _UNIT_BYTES[match[2] or ""]


def format_duration(seconds: float) -> str:
    """A duration for people, two units at most: ``3h12m``, ``1m5s``, ``8.4s``, ``120ms``."""
    milliseconds = round(seconds * 1000)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    if seconds < 10:
        return f"{round(seconds, 1):g}s"
    whole = round(seconds)
    for size, unit, small_size, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size}{unit}" + (f"{rest}{small_unit}" if rest else "")
    return f"{whole}s"
