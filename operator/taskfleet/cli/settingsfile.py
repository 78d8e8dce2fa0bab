"""``taskfleet.yaml``: where it is, and what is written in it, with the line of each setting."""

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from taskfleet.core.errors import InputError

NAME = "taskfleet.yaml"


def find_files(folder: Path, environment: Mapping[str, str]) -> tuple[Path | None, Path | None]:
    """The nearest file in ``folder`` or above it, and that of the user; None where there is none."""
    near = next((path for each in (folder, *folder.parents) if (path := each / NAME).is_file()), None)
    base = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "/")) / ".config")
    user = Path(base) / "taskfleet" / NAME
    return near, user if user.is_file() and user != near else None


class SettingsFile:
    """``values``: line and text of each setting in the file. Errors: InputError, ``FILE:LINE: ...``."""

    def __init__(self, path: Path, known: Collection[str]) -> None:
        from taskfleet.api.documents import Unreadable, read_documents  # late: most folders have no such file

        self.path = path
        self.values: dict[str, tuple[int, str]] = {}
        try:
            documents = list(read_documents(path.read_text("utf-8")))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError:
            raise InputError(f"{path}:1: not UTF-8; save the file as UTF-8") from None
        except Unreadable as error:
            raise InputError(f"{path}:{error.line}: {error}") from None
        if len(documents) > 1:
            raise InputError(f"{path}:{documents[1].line}: a second document; one file has one list of settings")
        for document in documents:
            if not isinstance(document.value, dict):
                raise InputError(f"{path}:{document.line}: not a map of settings such as `queue: demo`")
            for name, value in document.value.items():
                line = document.line_of((name,))
                self.values[name] = line, self._text(name, value, f"{path}:{line}: {name}", known)

    @staticmethod
    def _text(name: str, value: Any, where: str, known: Collection[str]) -> str:
        if name not in known:
            by_letters = {each.lower(): each for each in known}
            nearest = by_letters[difflib.get_close_matches(name.lower(), by_letters, n=1, cutoff=0.0)[0]]
            raise InputError(
                f"{where}: there is no such setting; did you mean {nearest}? There are: {', '.join(sorted(known))}"
            )
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            raise InputError(
                f"{where}: it must be a word or a number; write it, in quotes if need be, or remove the line"
            )
        return str(value)
