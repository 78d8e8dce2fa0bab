"""The Lua scripts: read from ``scripts/*.lua``, each behind what it uses of the preludes that its first line asks for.

A script is ``-- needs: due, stages`` and its own text; preludes may need others. The server runs a script's whole text
at each call, and to define a function or a name costs it as much as a small command. So a prelude's statements that
nothing uses are left out, and what names stand for is written out where they stand: keys, which keys.py has, and
constants, which are in capitals.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from taskfleet.store import keys

_SCRIPTS = Path(__file__).with_name("scripts")
_NEEDS = "-- needs:"
_COMMENT = re.compile(r"--[^\n]*")
_WORD = re.compile(r"[A-Za-z_]\w*")
_KEYS = keys.lua_names()
_VALUE = r"(?:-?\d+|'[^',\n]*')"
_CONSTANTS = re.compile(rf"^local ([A-Z_]+(?:, [A-Z_]+)*) = ({_VALUE}(?:, {_VALUE})*)[ ]*$\n?", re.MULTILINE)
_WORD_OR_STRING = re.compile(rf"('[^'\n]*'|{_WORD.pattern})")
_DEFINED = re.compile(r"local (?:function (\w+)|([\w, ]+))")


class Script:
    """The script of a file: its whole text, and the SHA-1 under which the server knows it.

    Both are put together at their first use, since a program calls few of the scripts, or before it. Errors of
    ``text``: ValueError when the file's first line does not say what it needs, or when a prelude has anything but local
    definitions.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def text(self) -> str:
        return _put_together(self.name)

    @cached_property
    def sha(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class _Statement:
    """A prelude's statement: the names that it defines, and all the words in it."""

    text: str
    defined: frozenset[str]
    words: frozenset[str]


@cache  # most scripts ask for the same preludes
def _read(name: str) -> str:
    return (_SCRIPTS / f"{name}.lua").read_text(encoding="utf-8")


def _put_together(name: str) -> str:
    found: list[str] = []
    _gather(name, found)
    preludes = found[:-1]
    if not preludes:
        raise ValueError(f"{name}.lua must begin with '{_NEEDS} ...'")
    own = _COMMENT.sub("", _read(name)).strip()
    statements = [statement for prelude in preludes for statement in _statements(prelude)]
    return _written_out("\n".join(("local P = KEYS[1]", *_used(statements, own), own)))


def _written_out(text: str) -> str:
    meanings = dict(_KEYS)
    for names, values in _CONSTANTS.findall(text):
        meanings |= zip(names.split(", "), values.split(", "), strict=True)
    text = _CONSTANTS.sub("", text)
    return "".join(meanings.get(piece, piece) for piece in _WORD_OR_STRING.split(text))


def _gather(name: str, found: list[str]) -> None:
    """Add a file to ``found`` behind all that it needs, each once."""
    if name not in found:
        first, _, _ = _read(name).partition("\n")
        if first.startswith(_NEEDS):
            for needed in first.removeprefix(_NEEDS).split(","):
                _gather(needed.strip(), found)
        found.append(name)


@cache
def _statements(prelude: str) -> tuple[_Statement, ...]:
    text = _COMMENT.sub("", _read(prelude))
    found = (each.rstrip() for each in re.split(r"^(?=local )", text, flags=re.MULTILINE))
    return tuple(_statement(each) for each in found if each.strip())


def _statement(text: str) -> _Statement:
    defined = _DEFINED.match(text)
    if defined is None:
        raise ValueError(f"a prelude may only define locals: {text.strip()!r}")
    return _Statement(text, frozenset(_WORD.findall(defined[1] or defined[2])), frozenset(_WORD.findall(text)))


def _used(statements: Sequence[_Statement], script: str) -> list[str]:
    """The statements of the preludes that a script uses, itself or through others, in their order."""
    words, used = set(_WORD.findall(script)), list[str]()
    for statement in reversed(statements):
        if not words.isdisjoint(statement.defined):
            words |= statement.words
            used.append(statement.text)
    return used[::-1]


CANCEL = Script("cancel")
CLAIM = Script("claim")
COMMIT = Script("commit")
DELIVER = Script("deliver")
DELIVERED = Script("delivered")
DECIDE = Script("decide")
DROP = Script("drop")
FOLLOW = Script("follow")
FORGET_ORDER = Script("forget_order")
GET = Script("get")
HEAR_ENDS = Script("hear_ends")
HEARTBEAT = Script("heartbeat")
HOLD = Script("hold")
LIMIT = Script("limit")
ORDER = Script("order")
PAUSE = Script("pause")
PEEK = Script("peek")
POSITION = Script("position")
PROGRESS = Script("progress")
PUBLISH = Script("publish")
PURGE = Script("purge")
PUT_POLICY = Script("put_policy")
REDRIVE = Script("redrive")
RETIRE = Script("retire")
ROOM = Script("room")
RUN_COMMIT = Script("run_commit")
SETTLE = Script("settle")
STAGE = Script("stage")
STATS = Script("stats")
SUBMIT = Script("submit")
TAKE_DUE = Script("take_due")
TAKE = Script("take")
TICK = Script("tick")
UNFINISHED = Script("unfinished")
UNSTAGE = Script("unstage")
WORKERS = Script("workers")

_OF_EVERY_TASK = (SUBMIT, CLAIM, SETTLE, HEARTBEAT)


def make_ready() -> None:
    """Put together what every task needs (6 ms, once in a process): no first task waits for it."""
    for script in _OF_EVERY_TASK:
        _ = script.sha
