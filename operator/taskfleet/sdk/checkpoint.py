"""What a run over a dataset has done so far, in one file, so that the same call goes on where it was.

Lines of JSON: first which call this is, then each result with the number of its row, as it ended. Each write reaches
the operating system at once, so that a SIGKILL loses no result; the last line of a killed run may be half, and is cut.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from taskfleet.core.errors import CheckpointError, InputError
from taskfleet.core.task import Priority, TaskError, TaskState, TaskView, Usage
from taskfleet.sdk.outputs import result_row
from taskfleet.sdk.results import TaskResult

VERSION = 1
ABANDONED = b'{"abandoned":true}\n'


class Checkpoint:
    """An open checkpoint, locked for this run. ``run`` is a word that its tasks' ids begin with."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Raises CheckpointError (it cannot be used, or another run has it) and InputError (it is of another call)."""
        self.path = path
        self.done = Done()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._trouble("cannot be opened", error) from error
        try:
            self.run = self._begin(fingerprint)
        except BaseException:
            os.close(self._file)
            raise

    def add(self, results: Iterable[tuple[int, TaskResult]]) -> None:
        """Keep these. Raises CheckpointError; then none of them is kept by half."""
        self._append(b"".join(orjson.dumps({"row": row, **result_row(result)}) + b"\n" for row, result in results))

    @contextlib.contextmanager
    def abandoning(self) -> Iterator[None]:
        """Around the cancellation of the tasks that are open: the next run gives their rows new ids. When it fails they
        go on, and the next run meets them."""
        before = os.lseek(self._file, 0, os.SEEK_CUR)
        self._append(ABANDONED)
        try:
            yield
        except BaseException:
            self._cut(before)
            raise

    def results(self) -> Iterator[tuple[int, TaskResult]]:
        """What earlier runs kept, in the order in which it was kept."""
        with self.path.open("rb") as file:
            end = self._kept_until
            for number, line in enumerate(file):
                end -= len(line)
                if end < 0:
                    return
                if number == 0 or line == ABANDONED:
                    continue
                fields = orjson.loads(line)
                try:
                    result = _result(fields)
                except (KeyError, TypeError, ValueError):
                    raise self._not_ours(number) from None
                yield fields["row"], result

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what cannot be kept was told when it was written
            os.fsync(self._file)
        os.close(self._file)

    def _begin(self, fingerprint: str) -> str:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(
                f"checkpoint: another run uses {self.path} now; wait for it, or give another file"
            ) from None
        header, generation = self._read(fingerprint)
        if header is None:
            header = secrets.token_hex(5)
            self._append(
                orjson.dumps({"taskfleet_checkpoint": VERSION, "run": header, "question": fingerprint}) + b"\n"
            )
        return f"{header}.{generation}"

    def _read(self, fingerprint: str) -> tuple[str | None, int]:
        """The run's word, None for a new file, and how often it was abandoned. Cuts off half a line at the end."""
        whole, run, generation = 0, None, 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    break
                try:
                    fields = orjson.loads(line)
                    if number == 0:
                        run, question = str(fields["run"]), fields["question"]
                        self._check(fields["taskfleet_checkpoint"] == VERSION and question == fingerprint)
                    elif line == ABANDONED:
                        generation += 1
                    else:
                        self.done.add(fields["row"])
                except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, OverflowError, MemoryError):
                    raise self._not_ours(number) from None
                whole += len(line)
        self._cut(whole)
        self._kept_until = whole
        return run, generation

    def _check(self, same: bool) -> None:
        if not same:
            raise InputError(
                f"checkpoint: {self.path} is of another call (another prompt, model, parameters or version); "
                "give another file, or remove it to begin again"
            )

    def _append(self, lines: bytes) -> None:
        before = os.lseek(self._file, 0, os.SEEK_CUR)
        try:
            written = 0
            while written < len(lines):
                written += os.write(self._file, memoryview(lines)[written:])
        except OSError as error:
            self._cut(before)
            raise self._trouble("cannot be written", error) from error

    def _cut(self, end: int) -> None:
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)

    def _not_ours(self, number: int) -> InputError:
        return InputError(f"checkpoint: line {number + 1} of {self.path} is not of a checkpoint; give another file")

    def _trouble(self, words: str, error: OSError) -> CheckpointError:
        return CheckpointError(
            f"checkpoint: {self.path} {words}: {error.strerror}; what it has is kept: mend that and make the same "
            "call again"
        )


class Done:
    """A set of row numbers, a bit for each."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self.count = 0

    def add(self, row: int) -> None:
        """Raises ValueError for what is no row."""
        if type(row) is not int or row < 0:
            raise ValueError(f"{row!r} is no row")
        byte, bit = divmod(row, 8)
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 1 - len(self._bits) + len(self._bits) // 8))
        self.count += not self._bits[byte] & (1 << bit)
        self._bits[byte] |= 1 << bit

    def __contains__(self, row: int) -> bool:
        byte, bit = divmod(row, 8)
        return byte < len(self._bits) and bool(self._bits[byte] & (1 << bit))


def _result(line: dict[str, Any]) -> TaskResult:
    error, usage = line["error"], line["usage"]
    view = TaskView(
        id=line["id"],
        state=TaskState(line["status"]),
        model=line["model"],
        requested_model=line["requested_model"],
        priority=Priority.NORMAL,
        attempts=line["attempts"],
        enqueued_at=0.0,
        output=line["output"],
        error=TaskError(**error) if error else None,
        endpoint=line["endpoint"],
        usage=Usage(**usage) if usage else None,
        queue_seconds=line["queue_seconds"],
        run_seconds=line["run_seconds"],
        metadata=line["metadata"],
    )
    return TaskResult(view)
