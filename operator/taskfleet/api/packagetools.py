"""Tools that packages beside us add, as entry points of the group ``taskfleet.tools``."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from taskfleet.core.errors import InputError


def package_tools() -> dict[str, EntryPoint]:
    """By name; none of them is loaded."""
    return {found.name: found for found in entry_points(group="taskfleet.tools")}


def load(tool: EntryPoint) -> Any:
    """What it names, which has ``arguments``. Raises InputError where the package is broken."""
    try:
        kind = tool.load()
    except Exception as error:  # somebody else's code: it may fail as it likes
        raise InputError(f"{_cannot(tool)}: {type(error).__name__}: {error}") from error
    if not hasattr(kind, "arguments"):
        raise InputError(f"{_cannot(tool)}: it says nothing of its arguments")
    return kind


def _cannot(tool: EntryPoint) -> str:
    return f"the tool {tool.name} of {tool.value} cannot be loaded"
