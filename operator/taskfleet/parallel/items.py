"""Where items come from: a list at hand, or a file that is read as items are wanted. Each knows where to go on.

A cursor is a JSON value that stands for everything before it; None is the beginning.
"""

import csv
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import orjson

from taskfleet.core.errors import DatasetError, InputError

MAX_ITEM_BYTES = 1 << 20
csv.field_size_limit(MAX_ITEM_BYTES)  # of this process; what it has otherwise is less than a document may need
_UTF8_BOM = b"\xef\xbb\xbf"
Placed = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Fetch:
    """In the place of an item: there is none at hand before this was done."""

    bring: Callable[[], Awaitable[None]]


Given = Placed | Fetch


class Source(Protocol):
    """``total``: how many items there are, None where that is not known before they are read."""

    total: int | None

    def items(self, cursor: Any) -> Iterator[Given]:
        """Items behind the cursor, each with the cursor behind it. Raises DatasetError where they cannot be read."""
        ...

    def fingerprint(self) -> Any:
        """What changes when the items are no longer the same."""
        ...


class ItemList:
    def __init__(self, items: list[Any]) -> None:
        self.all = items
        self.total: int | None = len(items)

    def items(self, cursor: Any) -> Iterator[Placed]:
        for at in range(cursor or 0, len(self.all)):
            yield self.all[at], at + 1

    def fingerprint(self) -> Any:
        return None  # the list is kept with the run


class LineFile:
    """A text file with an item on each line that is not blank. A cursor is a byte and the number of a line."""

    def __init__(self, path: Path, parse: Callable[[str], Any]) -> None:
        self.total: int | None = None
        self._path = path
        self._parse = parse

    def items(self, cursor: Any) -> Iterator[Placed]:
        byte, number = cursor or (0, 0)
        with _opened(self._path) as file:
            file.seek(byte)
            while line := _line(file, self._path, number + 1):
                number, byte = number + 1, byte + len(line)
                text = _text(line, self._path, number).strip()
                if text:
                    yield self._parsed(text, number), [byte, number]

    def _parsed(self, text: str, number: int) -> Any:
        try:
            return self._parse(text)
        except ValueError as error:
            raise DatasetError(f"{self._path}, line {number}: not JSON: {error}") from None

    def fingerprint(self) -> Any:
        return _fingerprint(self._path)


class CsvFile:
    """A table whose first row has the names of the columns; an item is a map of them. A cursor is as in a LineFile."""

    def __init__(self, path: Path) -> None:
        self.total: int | None = None
        self._path = path

    def items(self, cursor: Any) -> Iterator[Placed]:
        with _opened(self._path) as file:
            lines = _Lines(file, self._path)
            rows = csv.reader(lines, strict=True)
            names = self._row(rows, lines) or []
            if not names or len({*names}) < len(names) or "" in names:
                raise DatasetError(f"{self._path}, line 1: the first row must name each column, once")
            if cursor:
                lines.go_to(*cursor)
            while (row := self._row(rows, lines)) is not None:
                if not row:
                    continue
                if len(row) != len(names):
                    raise DatasetError(
                        f"{self._path}, line {lines.number}: {len(row)} fields, and there are {len(names)} columns"
                    )
                yield dict(zip(names, row, strict=True)), [lines.byte, lines.number]

    def _row(self, rows: Iterator[list[str]], lines: "_Lines") -> list[str] | None:
        try:
            return next(rows, None)
        except csv.Error as error:
            raise DatasetError(f"{self._path}, line {lines.number}: not CSV: {error}") from None

    def fingerprint(self) -> Any:
        return _fingerprint(self._path)


class _Lines:
    """The lines of a file, and where it is: a row of CSV may have several."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.byte = self.number = 0
        self._file = file
        self._path = path

    def go_to(self, byte: int, number: int) -> None:
        self._file.seek(byte)
        self.byte, self.number = byte, number

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = _line(self._file, self._path, self.number + 1)
        if not line:
            raise StopIteration
        self.byte, self.number = self.byte + len(line), self.number + 1
        return _text(line, self._path, self.number)


class ParquetFile:
    """A table of which an item is a row, as a map of its columns. A cursor is the number of rows before it."""

    def __init__(self, path: Path) -> None:
        try:
            from pyarrow import parquet  # type: ignore[import-untyped]  # it has no types
        except ModuleNotFoundError:
            raise InputError(f"{path}: reading Parquet needs: pip install 'taskfleet[parquet]'") from None
        try:
            self._file = parquet.ParquetFile(path)
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path}: cannot read it as Parquet: {error}") from None
        self.total: int | None = self._file.metadata.num_rows
        self._path = path

    def items(self, cursor: Any) -> Iterator[Placed]:
        try:
            yield from self._rows(cursor or 0)
        except (OSError, ValueError) as error:
            raise DatasetError(f"{self._path}: it breaks off: {error}") from None

    def _rows(self, at: int) -> Iterator[Placed]:
        first = 0
        for group in range(self._file.metadata.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if first + rows > at:
                for batch in self._file.iter_batches(batch_size=1000, row_groups=[group]):
                    for number, row in enumerate(batch.to_pylist(), start=first):
                        if number >= at:
                            yield orjson.loads(orjson.dumps(row, default=str)), number + 1
                    first += batch.num_rows
            else:
                first += rows

    def fingerprint(self) -> Any:
        return _fingerprint(self._path)


def file_items(path: Path, form: str) -> Source:
    """The items of a file that there is. Raises InputError, DatasetError."""
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    match form:
        case "jsonl":
            return LineFile(path, orjson.loads)
        case "csv":
            return CsvFile(path)
        case "parquet":
            return ParquetFile(path)
        case _:
            return LineFile(path, str)


def _opened(path: Path) -> BinaryIO:
    try:
        file = path.open("rb")
    except OSError as error:
        raise DatasetError(f"{path}: cannot read it: {error.strerror}") from None
    return file


def _line(file: BinaryIO, path: Path, number: int) -> bytes:
    line = file.readline(MAX_ITEM_BYTES + 1)
    if len(line) > MAX_ITEM_BYTES:
        raise DatasetError(f"{path}, line {number}: it is longer than {MAX_ITEM_BYTES} bytes")
    return line


def _text(line: bytes, path: Path, number: int) -> str:
    try:
        return (line.removeprefix(_UTF8_BOM) if number == 1 else line).decode()
    except UnicodeDecodeError:
        raise DatasetError(f"{path}, line {number}: not UTF-8; save the file as UTF-8") from None


def _fingerprint(path: Path) -> Any:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]
