"""The files of batches, in a bucket: for each a description, ``ID.json``, and its pieces. Blocking: for threads.

A file is there once its description is, which is written last; what a cut upload left behind, nobody sees.
"""

import contextlib
import io
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import BinaryIO, cast

import orjson

from taskfleet.core.errors import StoreError
from taskfleet.gateway.bucket import Bucket
from taskfleet.gateway.bucketpieces import GrowingPieces, Pieces, PieceWriter, pieces_of
from taskfleet.gateway.filestorage import IDS, StoredFile
from taskfleet.gateway.ids import new_id

_ID = re.compile(IDS)
_DESCRIPTION = re.compile(rf"({IDS})\.json")
_READERS = 16  # descriptions that are read at once
_BUFFER = 64 * 1024


class BucketStore:
    """See ``filestorage.FileStorage``."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def get(self, file_id: str) -> StoredFile | None:
        if not _ID.fullmatch(file_id):
            return None
        try:
            return StoredFile(**orjson.loads(self._bucket.get(f"{file_id}.json")))
        except FileNotFoundError:
            return None

    def all(self) -> list[StoredFile]:
        ids = [found[1] for found in map(_DESCRIPTION.fullmatch, self._bucket.top()) if found]
        ids.sort(key=lambda each: each[5:21], reverse=True)
        with ThreadPoolExecutor(_READERS) as readers:
            return [found for found in readers.map(self.get, ids) if found is not None]

    def size(self, file_id: str) -> int:
        return sum(pieces_of(self._bucket, file_id).values())

    def open(self, file_id: str) -> BinaryIO:
        self._bucket.get(f"{file_id}.json")
        names = list(pieces_of(self._bucket, file_id))
        return cast(BinaryIO, io.BufferedReader(Pieces(self._bucket, names), _BUFFER))

    def delete(self, file_id: str) -> None:
        self._bucket.delete([f"{file_id}.json", *self._bucket.under(file_id)])

    @contextlib.contextmanager
    def upload(self) -> Iterator["BucketUpload"]:
        upload = BucketUpload(self, self._bucket)
        try:
            yield upload
        finally:
            if not upload.is_kept:
                with contextlib.suppress(StoreError):  # it is nobody's file, and in nobody's way
                    self.delete(upload.id)

    def grow(self, file: StoredFile, turn: int) -> GrowingPieces:
        growing = GrowingPieces(self._bucket, file.id, turn)
        if self.get(file.id) is None:
            self.put(file)
        return growing

    def put(self, file: StoredFile) -> None:
        """Describe a file whose content is there."""
        self._bucket.put(f"{file.id}.json", orjson.dumps(asdict(file)))


class BucketUpload:
    """See ``filestorage.Upload``."""

    def __init__(self, files: BucketStore, bucket: Bucket) -> None:
        self.id = f"file-{new_id()}"
        self.is_kept = False
        self._files = files
        self._pieces = PieceWriter(bucket, self.id, 0)

    def write(self, data: bytes) -> None:
        self._pieces.add(data)

    def keep(self, tenant: str, filename: str, purpose: str) -> StoredFile:
        self._pieces.show(now=True)
        self._pieces.ready()
        file = StoredFile(self.id, tenant, filename, purpose, round(time.time()))
        self._files.put(file)
        self.is_kept = True
        return file
