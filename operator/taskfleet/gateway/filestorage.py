"""Where the files of batches are: what a folder and a bucket both offer. Blocking: for threads."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from taskfleet.gateway.ids import PATTERN

IDS = rf"file-{PATTERN}(-output|-errors)?"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """``created_at`` is in seconds since the epoch."""

    id: str
    tenant: str
    filename: str
    purpose: str
    created_at: int


class Upload(Protocol):
    """A file on its way in: write it, then ``keep`` it."""

    def write(self, data: bytes) -> None: ...

    def keep(self, tenant: str, filename: str, purpose: str) -> StoredFile:
        """From now on it is there, whatever happens next."""
        ...


class Growing(Protocol):
    """A file to which one writer adds lines. ``is_behind``: some of them cannot be seen yet by who reads it."""

    @property
    def is_behind(self) -> bool: ...

    def lines(self) -> Iterator[bytes]:
        """What is in it, whole lines only; before the first is added."""
        ...

    def add(self, lines: bytes) -> None:
        """Whole lines."""
        ...

    def show(self) -> None:
        """Let readers see what was added, if it is time to."""
        ...

    def close(self) -> None:
        """All of it is kept, whatever happens next. It may be called again."""
        ...


class FileStorage(Protocol):
    """All of it raises OSError, or StoreError, when it cannot be reached."""

    def get(self, file_id: str) -> StoredFile | None:
        """The description of a file, None when there is none of that id."""
        ...

    def all(self) -> list[StoredFile]:
        """Newest first."""
        ...

    def size(self, file_id: str) -> int:
        """In bytes. Raises FileNotFoundError."""
        ...

    def open(self, file_id: str) -> BinaryIO:
        """What is in a known file now, to read. Raises FileNotFoundError, here or while it is read."""
        ...

    def delete(self, file_id: str) -> None:
        """Also of one that is not there."""
        ...

    def upload(self) -> AbstractContextManager[Upload]:
        """A file on its way in; gone at the end of the block unless it was kept."""
        ...

    def grow(self, file: StoredFile, turn: int) -> Growing:
        """Make a file, or take up what is there. Each writer of it has a higher ``turn`` than those before: what one of
        them may still be writing is not in the file."""
        ...


def lines_of(files: FileStorage, file_id: str, longest: int) -> Iterator[bytes]:
    """The lines of a known file; of one that is longer, only that it is. Raises FileNotFoundError."""
    with files.open(file_id) as stream:
        while line := stream.readline(longest + 2):
            yield line
            while len(line) == longest + 2 and not line.endswith(b"\n"):
                line = stream.readline(longest + 2)
