"""Reads the rows of a dataset, whatever it is, a few at a time and never all at once."""

import asyncio
import codecs
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson

from taskfleet.core.errors import DatasetError, InputError
from taskfleet.sdk.callers import RAISED, words_of

Dataset = Iterable[Any] | AsyncIterable[Any] | str | Path
PATIENCE = 0.05  # a slow source hands over what it has after this many seconds
WITHOUT_PYARROW = 'Parquet needs pyarrow: pip install "taskfleet[parquet]"'


class Rows:
    """The rows of one dataset. ``total`` is their number, None where it is not known beforehand; ``error`` is why they
    ended before their end.

    A source that is not in memory is read in a thread, always the same one, so that a slow file or database does not
    hold up the event loop.
    """

    def __init__(self, dataset: Dataset) -> None:
        """Raises InputError for what has no rows, DatasetError for a file that cannot be opened."""
        is_path = isinstance(dataset, str | Path)
        self.total = len(dataset) if isinstance(dataset, Sized) and not is_path else None
        self.ended = False
        self.error: DatasetError | None = None
        self._read = 0
        self._thread: ThreadPoolExecutor | None = None
        self._in_memory = isinstance(dataset, Sequence) and not is_path
        self._async = aiter(dataset) if isinstance(dataset, AsyncIterable) else None
        self._rows: Iterator[Any] = iter(()) if isinstance(dataset, AsyncIterable) else iter(_iterable(dataset))

    async def chunk(self, most: int) -> list[Any]:
        """The next rows, at most so many; fewer from a slow source, none when it has ended."""
        rows: list[Any] = []
        if self._async is not None:
            self.ended, error = await _take_async(self._async, most, rows)
        elif self._in_memory:
            self.ended, error = _take(self._rows, most, rows)
        else:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="taskfleet-rows")
            loop = asyncio.get_running_loop()
            self.ended, error = await loop.run_in_executor(self._thread, _take, self._rows, most, rows)
        if error is not None:
            self.error = DatasetError(f"dataset: row {self._read + len(rows)} cannot be read: {words_of(error)}")
            self.error.__cause__ = error
        self._read += len(rows)
        return rows

    def close(self) -> None:
        """Read no more; a thread that reads just now ends after its row."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


Took = tuple[bool, BaseException | None]
"""Whether the source has ended, and why where that was no end. It is returned and not raised: what a thread raises
comes by a future, and that ends whoever awaits it with a GeneratorExit."""


def _take(source: Iterator[Any], most: int, rows: list[Any]) -> Took:
    """Append rows."""
    began = time.monotonic()
    while len(rows) < most:
        try:
            rows.append(next(source))
        except StopIteration:
            return True, None
        except RAISED as error:
            return True, error
        if time.monotonic() - began > PATIENCE:
            break
    return False, None


async def _take_async(source: AsyncIterator[Any], most: int, rows: list[Any]) -> Took:
    began = time.monotonic()
    while len(rows) < most and time.monotonic() - began <= PATIENCE:
        try:
            rows.append(await anext(source))
        except StopAsyncIteration:
            return True, None
        except RAISED as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            return True, error
    return False, None


def _iterable(dataset: Any) -> Iterable[Any]:
    if isinstance(dataset, str | Path):
        return _file_rows(Path(dataset))
    if isinstance(dataset, Mapping):
        names = ", ".join(map(repr, dataset))
        raise InputError(
            f"dataset: a dict has no rows; give one of its values ({names}), such as the split for training"
        )
    if hasattr(dataset, "to_batches"):  # a pyarrow Table: iterated as it is, it would give its columns
        return (row for batch in dataset.to_batches() for row in batch.to_pylist())
    if hasattr(dataset, "itertuples"):  # a pandas DataFrame: the same
        columns = [str(name) for name in dataset.columns]
        return (dict(zip(columns, row, strict=True)) for row in dataset.itertuples(index=False, name=None))
    if hasattr(dataset, "iter_rows"):  # a Polars DataFrame: the same
        rows: Iterable[Any] = dataset.iter_rows(named=True)
        return rows
    if not isinstance(dataset, Iterable) or isinstance(dataset, bytes):
        raise InputError(
            f"dataset: a {type(dataset).__name__} has no rows; give any iterable, or the path of a .jsonl or .parquet "
            "file"
        )
    return dataset


def _file_rows(path: Path) -> Iterator[Any]:
    if path.suffix not in (".jsonl", ".ndjson", ".parquet"):
        raise InputError(f"dataset: {str(path)!r} is no file that has rows; give a .jsonl, .ndjson or .parquet file")
    try:
        path.open("rb").close()
    except OSError as error:
        raise DatasetError(f"dataset: {path} cannot be read: {error.strerror}") from error
    return _parquet_rows(path) if path.suffix == ".parquet" else _json_lines(path)


def _json_lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.isspace():
                continue
            try:
                yield orjson.loads(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: not JSON: {error.msg}") from None


def _parquet_rows(path: Path) -> Iterator[Any]:
    try:
        from pyarrow import parquet  # type: ignore[import-untyped]  # ships none
    except ImportError:
        raise InputError(f"dataset: {WITHOUT_PYARROW}") from None
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1000):
            yield from batch.to_pylist()
