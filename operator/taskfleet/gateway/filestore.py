"""The files of batches, in a folder: each its content and, beside it, what is known of it. Blocking: for threads.

A file is there once its description is, which is written last and at once: an upload that was cut leaves nothing that
anybody sees.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

from taskfleet.gateway.ids import PATTERN, new_id

ABANDONED_SECONDS = 24 * 3600.0  # an upload that is older was cut
_ID = re.compile(f"file-{PATTERN}(-output|-errors)?")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """``created_at`` is in seconds since the epoch."""

    id: str
    tenant: str
    filename: str
    purpose: str
    created_at: int


class FileStore:
    """``folder`` is made when it is not there. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for upload in folder.glob(".upload-*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - upload.stat().st_mtime > ABANDONED_SECONDS:
                    upload.unlink()

    def get(self, file_id: str) -> StoredFile | None:
        """The description of a file, None when there is none of that id."""
        if not _ID.fullmatch(file_id):
            return None
        try:
            return StoredFile(**orjson.loads(self._description(file_id).read_bytes()))
        except FileNotFoundError:
            return None

    def all(self) -> list[StoredFile]:
        """Newest first."""
        ids = sorted(
            (path.stem for path in self._folder.glob("file-*.json")), key=lambda each: each[5:21], reverse=True
        )
        return [found for found in map(self.get, ids) if found is not None]

    def size(self, file_id: str) -> int:
        return self.content(file_id).stat().st_size

    def content(self, file_id: str) -> Path:
        """Where the content of a known file is."""
        return self._folder / file_id

    def lines(self, file_id: str, longest: int) -> Iterator[bytes]:
        """The lines of a known file; of one that is longer, only that it is. Raises FileNotFoundError."""
        with self.content(file_id).open("rb") as stream:
            while line := stream.readline(longest + 2):
                yield line
                while len(line) == longest + 2 and not line.endswith(b"\n"):
                    line = stream.readline(longest + 2)

    def delete(self, file_id: str) -> None:
        for path in (self._description(file_id), self.content(file_id)):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def upload(self) -> Iterator["Upload"]:
        """A file on its way in; gone at the end of the block unless it was kept."""
        path = self._folder / f".upload-{new_id()}"
        with path.open("xb") as stream:
            os.fchmod(stream.fileno(), 0o600)
            try:
                yield Upload(self, path, stream)
            finally:
                path.unlink(missing_ok=True)

    def put(self, file: StoredFile) -> None:
        """Describe a file whose content is there."""
        fresh = self._folder / f".{file.id}.json"
        fresh.write_bytes(orjson.dumps(asdict(file)))
        fresh.replace(self._description(file.id))

    def _description(self, file_id: str) -> Path:
        return self._folder / f"{file_id}.json"


class Upload:
    """Write it, then ``keep`` it."""

    def __init__(self, files: FileStore, path: Path, stream: BinaryIO) -> None:
        self._files = files
        self._path = path
        self._stream = stream

    def write(self, data: bytes) -> None:
        self._stream.write(data)

    def keep(self, tenant: str, filename: str, purpose: str) -> StoredFile:
        """On disk, whatever happens next."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        file = StoredFile(f"file-{new_id()}", tenant, filename, purpose, round(time.time()))
        self._path.rename(self._files.content(file.id))
        self._files.put(file)
        return file
