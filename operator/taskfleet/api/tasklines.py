"""Task lines: the JSONL that people submit, one task's fields on each line; see ``taskreader``."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.api.taskreader import TaskReader
from taskfleet.core.errors import DuplicateTask, InputError, InvalidTask, UnknownModel
from taskfleet.core.task import NewTask

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


def read_task_lines(lines: Iterable[bytes], *, spec: TaskQueueSpec) -> Iterator[NewTask]:
    """The tasks of a file, one for each line that is not blank, in memory for one line (and the ids given).

    Raises InvalidTask, UnknownModel or DuplicateTask with the number of the line at the first that is wrong, and
    InvalidTask when there is none at all.
    """
    reader = TaskReader(spec)
    line_of_id: dict[str, int] = {}
    number = count = 0
    for number, raw in enumerate(lines, start=1):
        line = _without_bom(raw) if number == 1 else raw
        if line.isspace() or not line:
            continue
        task, named = _task(reader, line, number)
        if named and line_of_id.setdefault(task.id, number) != number:
            first = line_of_id[task.id]
            raise DuplicateTask(
                task.id, f"line {number}: id: {task.id!r} is already on line {first}; ids must be unique"
            )
        count += 1
        yield task
    if not count:
        what = "it has only blank lines" if number else "it is empty"
        raise InvalidTask(f"there are no tasks in this file: {what}; write one JSON object on each line")


def line_of_id(lines: Iterable[bytes], task_id: str) -> int | None:
    """The number of the line that gives this id, of lines that ``read_task_lines`` takes; None when none does."""
    written = task_id.encode()
    for number, line in enumerate(lines, start=1):
        if written in line and orjson.loads(_without_bom(line)).get("id") == task_id:
            return number
    return None


def _task(reader: TaskReader, line: bytes, number: int) -> tuple[NewTask, bool]:
    """The task of a line, and whether the line gave its id. Errors begin with the number of the line."""
    try:
        fields = _json_object(line)
        return reader.build(fields), fields.get("id") is not None
    except UnknownModel as error:
        raise UnknownModel(f"line {number}: {error}") from None
    except InputError as error:
        raise InvalidTask(f"line {number}: {error}") from None


def _json_object(line: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        _check_utf8(line)
        raise InvalidTask(f"not JSON: {error.msg} at column {error.colno}{_hint(line)}") from None
    if not isinstance(fields, dict):
        kind = "an array" if isinstance(fields, list) else "a plain value"
        raise InvalidTask(f'a task is a JSON object such as {{"prompt": "Say hello"}}, this line is {kind}')
    return fields


def _check_utf8(line: bytes) -> None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise InvalidTask(
            f"not UTF-8: byte {error.start + 1} of the line is 0x{line[error.start]:02x}; save the file as UTF-8"
        ) from None


def _hint(line: bytes) -> str:
    stripped = line.strip()
    if b"NaN" in stripped or b"Infinity" in stripped:
        return "; NaN and Infinity are not JSON, write null or a number"
    if stripped in (b"[", b"{") or stripped.endswith(b"},"):
        return "; each task must be on one line of its own, without commas between (JSONL)"
    return ""


def _without_bom(line: bytes) -> bytes:
    if line.startswith(_UTF16_BOMS):
        raise InvalidTask("line 1: the file is UTF-16; save it as UTF-8")
    return line.removeprefix(_UTF8_BOM)
