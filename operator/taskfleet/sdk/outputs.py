"""Writes results as they come, in input order: JSONL or Parquet. The file appears under its name when it is whole."""

import contextlib
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import orjson

from taskfleet.api.resultline import result_line
from taskfleet.core.errors import DatasetError, InputError
from taskfleet.sdk.results import TaskResult
from taskfleet.sdk.rows import WITHOUT_PYARROW


class Output(Protocol):
    """Where results go. All raise DatasetError when they cannot be written."""

    def write(self, results: Sequence[TaskResult]) -> None: ...

    def finish(self) -> None:
        """All are written."""
        ...

    def abandon(self) -> None:
        """Unless it is finished: what is written so far is not all, and is removed."""
        ...


def open_output(path: Path) -> Output:
    """Raises InputError for another kind of file, DatasetError when it cannot be written."""
    if path.suffix not in (".jsonl", ".ndjson", ".parquet"):
        raise InputError(f"output: {str(path)!r} is no file for results; give a .jsonl, .ndjson or .parquet file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _Parquet(path) if path.suffix == ".parquet" else _JsonLines(path)
    except OSError as error:
        raise _cannot_write(path, error) from error


def result_row(result: TaskResult) -> dict[str, Any]:
    """A result line, as ``taskfleet result`` writes it."""
    return {**result_line(result.view), "model": result.model, "requested_model": result.requested_model}


def _cannot_write(path: Path, error: OSError) -> DatasetError:
    return DatasetError(f"output: {path} cannot be written: {error.strerror}; free some space or give another file")


class _Part:
    """A file that one run alone writes, and that has its name when it is whole."""

    def __init__(self, path: Path) -> None:
        """Raises DatasetError while another run writes it, OSError."""
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._is_whole = False
        self.file = self._part.open("ab")
        if not self._is_ours():
            self.file.close()
            raise DatasetError(f"output: another run writes {path} now; wait for it, or give another file")
        self.file.truncate(0)

    def _is_ours(self) -> bool:
        """Whether no other run writes it, nor had just come to its end as we opened it."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(self._part.stat(), os.fstat(self.file.fileno()))
        except (BlockingIOError, FileNotFoundError):
            return False

    def finish(self) -> None:
        self.file.close()
        self._part.replace(self._path)
        self._is_whole = True

    def abandon(self) -> None:
        if not self._is_whole:
            self._part.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the disk is full: that has been told, and the file goes anyway
            self.file.close()


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = _Part(path)

    def write(self, results: Sequence[TaskResult]) -> None:
        try:
            self._part.file.write(b"".join(orjson.dumps(result_row(result)) + b"\n" for result in results))
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    def finish(self) -> None:
        try:
            self._part.finish()
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    def abandon(self) -> None:
        self._part.abandon()


class _Parquet:
    """``output`` is a text column: what is more than a text is its JSON. ``error`` is its message."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow  # type: ignore[import-untyped]  # ships none
            from pyarrow import parquet
        except ImportError:
            raise InputError(f"output: {WITHOUT_PYARROW}") from None
        self._path = path
        self._arrow = pyarrow
        text, number = pyarrow.string(), pyarrow.float64()
        self._schema = pyarrow.schema(
            [
                *((name, text) for name in ("id", "status", "output", "error")),
                ("attempts", pyarrow.int64()),
                *((name, text) for name in ("model", "endpoint")),
                *((name, pyarrow.int64()) for name in ("input_tokens", "output_tokens")),
                *((name, number) for name in ("queue_seconds", "run_seconds")),
            ]
        )
        self._waiting: list[dict[str, Any]] = []
        self._part = _Part(path)
        self._writer = parquet.ParquetWriter(self._part.file, self._schema)

    def write(self, results: Sequence[TaskResult]) -> None:
        self._waiting += (self._row(result) for result in results)
        if len(self._waiting) >= 5000:
            self._flush()

    def finish(self) -> None:
        self._flush()
        try:
            self._writer.close()
            self._part.finish()
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    def abandon(self) -> None:
        with contextlib.suppress(OSError):  # as above
            self._writer.close()
        self._part.abandon()

    def _flush(self) -> None:
        rows, self._waiting = self._waiting, []
        try:
            self._writer.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    @staticmethod
    def _row(result: TaskResult) -> dict[str, Any]:
        line = result_row(result)
        output, usage = line["output"], line["usage"] or {}
        return {
            **line,
            "output": output if isinstance(output, str | None) else orjson.dumps(output).decode(),
            "error": line["error"] and line["error"]["message"],
            "input_tokens": usage.get("input_tokens"),
            "output_tokens": usage.get("output_tokens"),
        }
