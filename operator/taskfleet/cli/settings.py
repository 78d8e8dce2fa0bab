"""Where a setting comes from: an option, else the environment, else ``taskfleet.yaml``, else the default.

The file is looked for in the working folder and upward; what it does not set may be set in
``~/.config/taskfleet/taskfleet.yaml``. This is the one place that knows; commands ask for a setting by its name.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from taskfleet.cli.settingsfile import SettingsFile, find_files
from taskfleet.core.errors import InputError
from taskfleet.core.quantities import parse_duration

LONGEST_SECONDS = 7 * 24 * 3600.0
FORMS = ("human", "json")
_BARE_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


class Origin(IntEnum):
    """A lower one wins."""

    OPTION = 0
    ENVIRONMENT = 1
    FILE = 2
    USER_FILE = 3
    DEFAULT = 4


@dataclass(frozen=True, slots=True)
class Setting:
    """``read`` makes a value of what was written, or raises ValueError with the fix. ``variable`` is that of the
    environment; ``default`` None means that it is not set, and ``unset`` says what that means."""

    name: str
    variable: str
    option: str
    read: Callable[[str], Any]
    default: Any = None
    unset: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A value, and where it comes from: ``source`` in words, such as ``--data`` or ``taskfleet.yaml:3``."""

    value: Any
    origin: Origin
    source: str


def seconds(text: str) -> float:
    """Seconds in a duration such as 30m, or in a bare number. ValueError when it is none, or out of bounds."""
    try:
        value = float(text) if _BARE_NUMBER.fullmatch(text) else parse_duration(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= LONGEST_SECONDS:
        raise ValueError(
            f"{text!r} is not a duration from 1s to 168h; write 30m, 90s or 1h30m (a bare number: seconds)"
        )
    return value


def one_form(text: str) -> str:
    """``human`` or ``json``."""
    if text not in FORMS:
        raise ValueError(f"{text!r} is none of {', '.join(FORMS)}")
    return text


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("storeUrl", "TASKFLEET_STORE_URL", "", str, unset="that of the running `up` on the data folder"),
        Setting("data", "TASKFLEET_DATA", "--data", lambda text: Path(text).expanduser(), Path(".taskfleet")),
        Setting(
            "namespace", "TASKFLEET_NAMESPACE", "--namespace", str, unset='that of the running `up`, else "default"'
        ),
        Setting("queue", "TASKFLEET_QUEUE", "--queue", str, unset="every queue of the running `up`"),
        Setting("output", "TASKFLEET_OUTPUT", "--output", one_form, "human"),
        Setting("poll", "TASKFLEET_POLL", "--poll", seconds, 10.0),
        Setting("lease", "TASKFLEET_LEASE", "--lease", seconds, 1800.0),
    )
}


class Settings:
    """What the environment and the files say, read when it is made. Errors: InputError, with file and line."""

    def __init__(self, environment: Mapping[str, str], files: Sequence[tuple[Origin, SettingsFile]]) -> None:
        self._environment = environment
        self.files = tuple(file.path for _, file in files)
        self._found: dict[str, Found] = {}
        for origin, file in reversed(files):
            for name, (line, text) in file.values.items():
                source = f"{file.path}:{line}"
                value = _read(SETTINGS[name], text, f"{source}: {name}")
                if isinstance(value, Path):
                    value = file.path.parent / value
                self._found[name] = Found(value, origin, source)

    def find(self, name: str, given: Any = None) -> Found:
        """The setting; ``given`` is what its option says (None: it was left out). Errors: InputError (a variable)."""
        setting = SETTINGS[name]
        if given is not None:
            return Found(given, Origin.OPTION, setting.option)
        if text := self._environment.get(setting.variable):
            return Found(_read(setting, text, setting.variable), Origin.ENVIRONMENT, setting.variable)
        return self._found.get(name) or Found(setting.default, Origin.DEFAULT, "default")


def counts_before(url: Found, folder: Found) -> bool:
    """Whether a store's URL decides, and not the data folder: it is set, and no further from the command line."""
    return url.value is not None and url.origin <= folder.origin


def load_settings() -> Settings:
    """The settings of this process, in its working folder."""
    near, user = find_files(Path.cwd(), os.environ)
    files = [(Origin.FILE, near), (Origin.USER_FILE, user)]
    known = frozenset(SETTINGS)
    return Settings(os.environ, [(origin, SettingsFile(path, known)) for origin, path in files if path is not None])


def _read(setting: Setting, text: str, where: str) -> Any:
    try:
        return setting.read(text)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
