"""The Lua scripts: read from ``scripts/*.lua``, each behind the preludes that its first line asks for.

A script is ``-- needs: lib, moves`` and its own text. The names of the keys come first, from keys.py.
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
    source = _read(name)
    first, _, _ = source.partition("\n")
    if not first.startswith(_NEEDS):
        raise ValueError(f"{name}.lua must begin with '{_NEEDS} ...'")
    preludes = [_read(part.strip()) for part in first.removeprefix(_NEEDS).split(",")]
    text = "\n".join((keys.lua_names(), *preludes, source))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


CANCEL = load("cancel")
CLAIM = load("claim")
COMMIT = load("commit")
GET = load("get")
HEARTBEAT = load("heartbeat")
HOLD = load("hold")
LIMIT = load("limit")
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
