"""The files of batches, in a folder: each its content and, beside it, what is known of it. Blocking: for threads.

A file is there once its description is, which is written last and at once: an upload that was cut leaves nothing that
anybody sees.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import orjson

from taskfleet.gateway.filestorage import IDS, StoredFile
from taskfleet.gateway.ids import new_id

ABANDONED_SECONDS = 24 * 3600.0  # an upload that is older was cut
_ID = re.compile(IDS)


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

    def open(self, file_id: str) -> BinaryIO:
        return self.content(file_id).open("rb")

    def delete(self, file_id: str) -> None:
        for path in (self._description(file_id), self.content(file_id)):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def upload(self) -> Iterator["FolderUpload"]:
        """A file on its way in; gone at the end of the block unless it was kept."""
        path = self._folder / f".upload-{new_id()}"
        with path.open("xb") as stream:
            os.fchmod(stream.fileno(), 0o600)
            try:
                yield FolderUpload(self, path, stream)
            finally:
                path.unlink(missing_ok=True)

    def grow(self, file: StoredFile, _turn: int) -> "GrowingFile":
        """Its ``turn`` is not needed: what a writer before it added since is there to be read, and not added again."""
        if self.get(file.id) is None:
            self.content(file.id).touch(mode=0o600)
            self.put(file)
        return GrowingFile(self.content(file.id))

    def put(self, file: StoredFile) -> None:
        """Describe a file whose content is there."""
        fresh = self._folder / f".{file.id}.json"
        fresh.write_bytes(orjson.dumps(asdict(file)))
        fresh.replace(self._description(file.id))

    def _description(self, file_id: str) -> Path:
        return self._folder / f"{file_id}.json"


class FolderUpload:
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


class GrowingFile:
    """To read from its beginning, and to append to; a last line that a kill cut is taken away."""

    is_behind = False

    def __init__(self, path: Path) -> None:
        self._stream = path.open("r+b")
        end = self._stream.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 2**20)
            self._stream.seek(start)
            at = self._stream.read(end - start).rfind(b"\n")
            if at >= 0:
                end = start + at + 1
                break
            end = start
        self._stream.truncate(end)

    def lines(self) -> Iterator[bytes]:
        self._stream.seek(0)
        yield from self._stream

    def add(self, lines: bytes) -> None:
        self._stream.seek(0, os.SEEK_END)
        self._stream.write(lines)
        self._stream.flush()  # from now on whoever reads the file sees them

    def show(self) -> None:
        """They are seen already."""

    def close(self) -> None:
        if not self._stream.closed:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
