"""The Lua scripts: read from ``scripts/*.lua``, each behind the preludes that its first line asks for.

A script is ``-- needs: due, stages`` and its own text; preludes may need others. The names of the keys come first, from
keys.py.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from taskfleet.store import keys

_NEEDS = "-- needs:"


@dataclass(frozen=True, slots=True)
class Script:
    """A script's whole text and the SHA-1 under which the server knows it."""

    name: str
    text: str
    sha: str


def _read(name: str) -> str:
    return (files("taskfleet.store") / "scripts" / f"{name}.lua").read_text(encoding="utf-8")


def load(name: str) -> Script:
    """The script of a file. Errors: ValueError when its first line does not say what it needs."""
    parts: dict[str, str] = {}
    _gather(name, parts)
    if len(parts) == 1:
        raise ValueError(f"{name}.lua must begin with '{_NEEDS} ...'")
    text = "\n".join((keys.lua_names(), *parts.values()))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _gather(name: str, parts: dict[str, str]) -> None:
    """Add a file to ``parts`` behind all that it needs, each once."""
    if name not in parts:
        source = _read(name)
        first, _, _ = source.partition("\n")
        if first.startswith(_NEEDS):
            for needed in first.removeprefix(_NEEDS).split(","):
                _gather(needed.strip(), parts)
        parts[name] = source


CANCEL = load("cancel")
CLAIM = load("claim")
COMMIT = load("commit")
FOLLOW = load("follow")
GET = load("get")
HEARTBEAT = load("heartbeat")
HOLD = load("hold")
LIMIT = load("limit")
PAUSE = load("pause")
PEEK = load("peek")
POSITION = load("position")
PROGRESS = load("progress")
PUBLISH = load("publish")
PURGE = load("purge")
PUT_POLICY = load("put_policy")
REDRIVE = load("redrive")
RETIRE = load("retire")
SETTLE = load("settle")
STAGE = load("stage")
STATS = load("stats")
SUBMIT = load("submit")
TICK = load("tick")
UNSTAGE = load("unstage")
WORKERS = load("workers")
