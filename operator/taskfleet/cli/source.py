"""Where the task lines of ``submit -f`` come from: a file, or stdin kept in a temporary file.

The lines are read twice, once to check all of them and once to submit them, so memory stays small for any size.
"""

import os
import select
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.cli.running import blocking
from taskfleet.core.errors import InputError, InvalidTask

# A line of JSON may be this much longer than the task that it becomes: escapes such as \u00e9, spaces, the id.
ESCAPED_LENGTH = 6
OTHER_FIELDS_BYTES = 4096
CHUNK_BYTES = 1 << 20
# A signal that comes just before a read blocks is not seen until the read ends: so no wait is longer than this.
LOOK_UP_SECONDS = 0.5


class Source:
    """A seekable file of task lines."""

    def __init__(self, file: BinaryIO, *, max_task_bytes: int) -> None:
        self._file = file
        self._limit = max_task_bytes * ESCAPED_LENGTH + OTHER_FIELDS_BYTES
        self._max_task_bytes = max_task_bytes

    def lines(self) -> Iterator[bytes]:
        """All lines from the beginning, none of them larger than any acceptable task could be."""
        self._file.seek(0)
        number = 0
        while line := self._file.readline(self._limit + 1):
            number += 1
            if len(line) > self._limit:
                raise InvalidTask(
                    f"line {number}: the line is longer than {self._limit} bytes, which no task of at most "
                    f"{self._max_task_bytes} bytes needs (spec.limits.maxTaskBytes); is this a JSONL file?"
                )
            yield line


@contextmanager
def open_source(path: str, spec: TaskQueueSpec) -> Iterator[Source]:
    """The lines of a file, or of stdin when ``path`` is ``-``. Raises InputError when it cannot be read."""
    limit = spec.limits.max_task_bytes.bytes
    if path == "-":
        with tempfile.TemporaryFile(prefix="taskfleet-") as spool:
            with blocking():
                for chunk in _chunks_of_stdin():
                    spool.write(chunk)
            yield Source(spool, max_task_bytes=limit)
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115  closed below; only the opening may fail as the user's error
    except OSError as error:
        raise InputError(f"-f {path}: {error.strerror}") from error
    with file:
        if not file.seekable():
            raise InputError(f"-f {path}: cannot be read twice; pipe it into `-f -`")
        yield Source(file, max_task_bytes=limit)


def _chunks_of_stdin() -> Iterator[bytes]:
    stdin = sys.stdin.fileno()
    while True:
        if select.select([stdin], [], [], LOOK_UP_SECONDS)[0]:
            chunk = os.read(stdin, CHUNK_BYTES)
            if not chunk:
                return
            yield chunk
